/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block of an existing differencing disk of which the image has some sectors only, as a bitmap says: before it is
 * written to, it gets all of them, those of the image behind it where it has none of its own.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_BLOCK_SECTORS_H
#define INSTAR_GUEST_IMAGE_WRITE_BLOCK_SECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/tables/sector_bitmap.h"
#include "guest/image/write/block_modify.h"

/* Where the bits of one block are. */
struct block_sectors {
    uint64_t bitmap_off; /* bytes in the file */
    enum sector_bitmap_order order;
    uint64_t first_bit;  /* of the block's first sector */
    uint32_t sector_len; /* bytes: 512 or a multiple */
};

/* The first sector from *sector on that is not the block's own, and how many are like it; *ret_count 0: there is none.
 */
MUST_CHECK bool block_sectors_find_foreign(struct block_modify *blocks, const struct block_sectors *sectors,
                                           uint64_t *sector, uint64_t *ret_count, struct error *error);

/*
 * What the image behind has of block `block`, where that is at `off` of the file and has no sector of its own, goes
 * there. Waits; the bits stay as they are, and what is written is not on stable storage yet.
 */
MUST_CHECK bool block_sectors_complete(struct block_modify *blocks, const struct block_sectors *sectors, uint64_t block,
                                       uint64_t off, struct error *error);

#endif
