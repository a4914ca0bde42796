/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/block_sectors.h"

#include "base/checked.h"
#include "guest/image/image.h"

bool block_sectors_find_foreign(struct block_modify *blocks, const struct block_sectors *sectors, uint64_t *sector,
                                uint64_t *ret_count, struct error *error)
{
    uint64_t sector_count = blocks->block_len / sectors->sector_len;
    bool is_own = true;
    *ret_count = 0;
    while (is_own && *sector + *ret_count < sector_count) { /* ends: a run has a sector at least */
        *sector += *ret_count;
        RETURN_IF_FAILED(sector_bitmap_run(blocks->changes.cache, blocks->target.file, sectors->bitmap_off,
                                           sectors->order, sectors->first_bit + *sector, sector_count - *sector,
                                           &is_own, ret_count, error));
    }
    *ret_count = is_own ? 0 : *ret_count;
    return true;
}

/* The part [start, end) of a block that begins at `voff` of the disk and at `off` of the file. */
static bool copy_behind(struct block_modify *blocks, uint64_t voff, uint64_t off, uint64_t start, uint64_t end,
                        struct error *error)
{
    while (start < end) { /* ends: each round goes on by a part */
        uint32_t part_len = (uint32_t)min_u64(end - start, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&blocks->target, error));
        RETURN_IF_FAILED(
            image_read(blocks->image->backing, voff + start, blocks->bounce, part_len, &blocks->read_memory, error));
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, off + start, blocks->bounce, part_len, error));
        start += part_len;
    }
    blocks->is_unsafe = true;
    return true;
}

bool block_sectors_complete(struct block_modify *blocks, const struct block_sectors *sectors, uint64_t block,
                            uint64_t off, struct error *error)
{
    uint64_t sector = 0;
    uint64_t count;
    RETURN_IF_FAILED(block_sectors_find_foreign(blocks, sectors, &sector, &count, error));
    while (count > 0) { /* ends: each round goes on by a run of sectors */
        RETURN_IF_FAILED(copy_behind(blocks, block * blocks->block_len, off, sector * sectors->sector_len,
                                     (sector + count) * sectors->sector_len, error));
        sector += count;
        RETURN_IF_FAILED(block_sectors_find_foreign(blocks, sectors, &sector, &count, error));
    }
    return true;
}
