/* SPDX-License-Identifier: Apache-2.0 */
/* What is where: the block allocation table, and in differencing disks the bitmap before each block. */
#include "base/checked.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/tables/extent_end.h"
#include "guest/image/tables/sector_bitmap.h"

/* A part of a differencing disk's block: sectors that it has, or that its parent has. */
static bool map_sectors(struct image *image, uint64_t bitmap_off, uint64_t in_block, struct extent *extent,
                        struct error *error)
{
    bool is_own;
    uint64_t count;
    uint64_t in_sector = in_block % VPC_SECTOR_LEN;
    uint64_t sectors_max = (in_sector + extent->len + VPC_SECTOR_LEN - 1) / VPC_SECTOR_LEN;
    RETURN_IF_FAILED(sector_bitmap_run(image->environment->cache, image->file, bitmap_off, SECTOR_BITMAP_HIGH_FIRST,
                                       in_block / VPC_SECTOR_LEN, sectors_max, &is_own, &count, error));
    extent->len = min_u64(extent->len, count * VPC_SECTOR_LEN - in_sector);
    if (!is_own) {
        extent->kind = EXTENT_UNALLOCATED;
        extent->has_file_off = false;
    }
    return true;
}

static bool map_block(struct image *image, uint64_t voff, uint64_t len, struct extent *extent, struct error *error)
{
    const struct vpc *vpc = vpc_of(image);
    uint64_t block_len = vpc->header.block_len;
    uint64_t in_block = voff % block_len;
    uint64_t block_count = (in_block + len + block_len - 1) / block_len;
    uint64_t sector, same_count;
    RETURN_IF_FAILED(block_table_run(image->environment->cache, &vpc->table, voff / block_len, block_count, 0, &sector,
                                     &same_count, error));
    if (sector == VPC_BLOCK_UNUSED) {
        extent->kind = vpc->has_parent ? EXTENT_UNALLOCATED : EXTENT_ZERO;
        extent->len = min_u64(len, same_count * block_len - in_block);
        return true;
    }
    uint64_t bitmap_off = sector * VPC_SECTOR_LEN; /* below 2^41 */
    extent->kind = EXTENT_DATA;
    extent->has_file_off = true;
    extent->file_off = bitmap_off + vpc->header.bitmap_len + in_block;
    extent->len = min_u64(len, block_len - in_block);
    extent_look_for_end(extent, block_len);
    /* QEMU does not look at the bitmaps of dynamic disks: there are writers that leave them empty. */
    return !vpc->has_parent || map_sectors(image, bitmap_off, in_block, extent, error);
}

bool vpc_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct extent extent = {.voff = voff, .len = len, .file = image->file};
    if (vpc_of(image)->is_fixed) {
        extent.kind = EXTENT_DATA;
        extent.has_file_off = true;
        extent.may_have_holes = true;
        extent.file_off = voff;
    } else {
        RETURN_IF_FAILED(map_block(image, voff, len, &extent, error));
    }
    *ret_extent = extent;
    return true;
}
