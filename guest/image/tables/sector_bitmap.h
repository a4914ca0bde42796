/* SPDX-License-Identifier: Apache-2.0 */
/* A bit for each sector of a block, in the file: whether the image has the sector, or what is behind the image. */
#ifndef INSTAR_GUEST_IMAGE_TABLES_SECTOR_BITMAP_H
#define INSTAR_GUEST_IMAGE_TABLES_SECTOR_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/cache.h"

enum sector_bitmap_order {
    SECTOR_BITMAP_HIGH_FIRST, /* the first sector is the highest bit of the first byte */
    SECTOR_BITMAP_LOW_FIRST,
};

/*
 * Whether bit `index` of the bitmap at `off` is set, and how many bits from it on are like it: one at least, and
 * count_max (not 0) at most; perhaps fewer than there are, as one view of the cache is looked at.
 */
MUST_CHECK bool sector_bitmap_run(struct cache *cache, struct file *file, uint64_t off, enum sector_bitmap_order order,
                                  uint64_t index, uint64_t count_max, bool *ret_is_set, uint64_t *ret_count,
                                  struct error *error);

#endif
