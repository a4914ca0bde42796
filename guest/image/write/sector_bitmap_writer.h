/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps of a new image's sectors (sector_bitmap.h), written as the disk arrives front to back: a page of one is in
 * memory, and goes to the file when the disk has moved on.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_SECTOR_BITMAP_WRITER_H
#define INSTAR_GUEST_IMAGE_WRITE_SECTOR_BITMAP_WRITER_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/tables/sector_bitmap.h"
#include "guest/image/write/block_writer.h"

struct sector_bitmap_writer {
    struct block_writer *blocks; /* whose file the bitmaps are in */
    enum sector_bitmap_order order;
    uint32_t page_len; /* bytes */
    uint64_t page_off; /* bytes of the file; of the page in memory, 0: there is none */
    uint8_t page[BLOCK_WRITER_PUT_LEN];
};

/* Bitmaps consist of whole pages of `page_len` bytes: a multiple of 512, and BLOCK_WRITER_PUT_LEN at most. */
void sector_bitmap_writer_init(struct sector_bitmap_writer *writer, struct block_writer *blocks,
                               enum sector_bitmap_order order, uint32_t page_len);

/*
 * Sets `count` bits of the bitmap at `off`, from bit `index` on: behind those that were set before, in this bitmap or
 * in one before it. `off` is a multiple of 512 and not 0, and the file has room for all of the bitmap. A page none of
 * whose bits is set is not written.
 */
MUST_CHECK bool sector_bitmap_writer_set(struct sector_bitmap_writer *writer, uint64_t off, uint64_t index,
                                         uint64_t count, struct error *error);

/* What is left of the last bitmap. Its write may still be under way (target_settle). */
MUST_CHECK bool sector_bitmap_writer_end(struct sector_bitmap_writer *writer, struct error *error);

#endif
