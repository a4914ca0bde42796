/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dynamic disk that becomes longer (QEMU makes none so). A table that is too short is copied to the end, before the
 * dynamic disk header leads to it by one write of its first sector; then the footers say how long the disk is.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vpc/vpc_modify.h"

static bool check_plan(const struct image *image, const struct resize_plan *plan, struct error *error)
{
    const struct vpc *vpc = vpc_of(image);
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Preallocation is not supported for this image format");
    }
    if (plan->virtual_len < image->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Shrinking images is currently not supported");
    }
    if (vpc->is_fixed || vpc->has_parent) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "only dynamic vpc images become longer");
    }
    return (plan->virtual_len % VPC_SECTOR_LEN == 0 && plan->virtual_len / VPC_SECTOR_LEN <= VPC_DISK_SECTORS_MAX) ||
           error_set(error, ERROR_USAGE, NULL, "Invalid image size specified");
}

/* The old table's entries, and as many more as there are blocks, in whole sectors. */
static bool copy_table(struct block_modify *blocks, const struct block_table *old, uint64_t off, uint64_t len,
                       struct error *error)
{
    uint64_t old_len = old->count * VPC_ENTRY_LEN;
    for (uint64_t done_len = 0; done_len < len; done_len += BLOCK_MODIFY_BOUNCE_LEN) {
        uint32_t part_len = (uint32_t)min_u64(len - done_len, BLOCK_MODIFY_BOUNCE_LEN);
        uint64_t copied_len = done_len < old_len ? min_u64(old_len - done_len, part_len) : 0;
        RETURN_IF_FAILED(target_settle(&blocks->target, error));
        memset(blocks->bounce, 0xff, part_len); /* VPC_BLOCK_UNUSED */
        RETURN_IF_FAILED(copied_len == 0 || cache_read(blocks->changes.cache, blocks->target.file, old->off + done_len,
                                                       blocks->bounce, (size_t)copied_len, error));
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, off + done_len, blocks->bounce, part_len, error));
    }
    return block_modify_flush(blocks, error);
}

static bool make_table(struct block_modify *blocks, struct vpc *vpc, uint64_t count, struct error *error)
{
    uint64_t off;
    uint64_t len = round_up(count * VPC_ENTRY_LEN, VPC_SECTOR_LEN);
    RETURN_IF_FAILED(block_modify_append(blocks, len, VPC_SECTOR_LEN, &off, error) &&
                     copy_table(blocks, &vpc->table, off, len, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, blocks->target.file, vpc->footer.header_off, blocks->bounce,
                                VPC_HEADER_LEN, error));
    vpc_header_set_table(off, (uint32_t)count, blocks->bounce);
    block_modify_tell(blocks);
    RETURN_IF_FAILED(
        table_changes_store(&blocks->changes, vpc->footer.header_off, blocks->bounce, VPC_SECTOR_LEN, error));
    vpc->header.table_off = vpc->table.off = off;
    vpc->header.table_count = (uint32_t)count;
    vpc->table.count = count;
    return block_modify_flush(blocks, error);
}

/* All that is done in the file, whose table is to have `count` entries. */
static bool grow(struct block_modify *blocks, uint64_t count, const struct resize_plan *plan, struct error *error)
{
    struct vpc *vpc = vpc_of(blocks->image);
    uint64_t old_count = block_modify_count(blocks);
    RETURN_IF_FAILED(block_modify_begin(blocks, error) && block_modify_clear_end(blocks, plan->virtual_len, error));
    /* What the table has behind the disk's end is of a disk that was longer once. */
    RETURN_IF_FAILED(block_modify_clear_entries(blocks, &vpc->table, old_count, min_u64(count, vpc->table.count),
                                                VPC_BLOCK_UNUSED, error) &&
                     block_modify_checkpoint(blocks, error) && block_modify_flush(blocks, error));
    RETURN_IF_FAILED(count <= vpc->table.count || make_table(blocks, vpc, count, error));
    return vpc_modify_set_len(blocks, plan->virtual_len, error) &&
           block_modify_finish(&blocks->target, plan->sync, error);
}

bool vpc_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct vpc *vpc = vpc_of(image);
    struct target *target;
    RETURN_IF_FAILED(check_plan(image, plan, error) && vpc_open_target(image, &target, error));
    struct block_modify *blocks = block_modify_of(target);
    uint64_t count = (plan->virtual_len + vpc->header.block_len - 1) / vpc->header.block_len;
    if (vpc->footer.header_off % VPC_SECTOR_LEN != 0 || count > VPC_TABLE_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "the table would have %llu entries, at most %u",
                         (unsigned long long)count, VPC_TABLE_COUNT_MAX);
    }
    if (!grow(blocks, count, plan, error)) {
        target_abandon(target);
        return false;
    }
    vpc->footer.virtual_len = plan->virtual_len;
    return true;
}
