/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that becomes longer (QEMU makes none so), as far as its block allocation table has room, which a table of a
 * new file has for 128 Ki blocks at least. The new blocks' entries come first, the length is one write of the log.
 */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_modify.h"

static bool check_plan(const struct image *image, const struct resize_plan *plan, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    uint64_t blocks = (plan->virtual_len + vhdx->metadata.block_len - 1) / vhdx->metadata.block_len;
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Preallocation is not supported for this image format");
    }
    if (plan->virtual_len < image->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Shrinking images is currently not supported");
    }
    if (vhdx->metadata.has_parent) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "a differencing disk stays as long as its parent");
    }
    if (plan->virtual_len > VHDX_DISK_LEN_MAX || plan->virtual_len % vhdx->metadata.sector_len != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid image size specified");
    }
    return vhdx_entry_index(vhdx, blocks - 1) < vhdx->table.count ||
           error_set(error, ERROR_UNSUPPORTED, image->file->name,
                     "the block allocation table has no room for a disk of %llu bytes: it has %llu entries",
                     (unsigned long long)plan->virtual_len, (unsigned long long)vhdx->table.count);
}

/* All that is done in the file, whose table gets `count` entries that mean something. */
static bool grow(struct block_modify *blocks, uint64_t count, const struct resize_plan *plan, struct error *error)
{
    struct vhdx *vhdx = vhdx_of(blocks->image);
    struct block_table item = {blocks->image->file, vhdx->metadata.virtual_len_off, 1, BLOCK_TABLE_LE64};
    RETURN_IF_FAILED(block_modify_begin(blocks, error) && block_modify_clear_end(blocks, plan->virtual_len, error));
    /* Entries that were nobody's may say anything: from now on, that nothing is there. */
    RETURN_IF_FAILED(
        block_modify_clear_entries(blocks, &vhdx->table, vhdx->entry_count, count, VHDX_NOT_PRESENT, error) &&
        block_modify_checkpoint(blocks, error));
    return table_changes_set(&blocks->changes, &item, 0, plan->virtual_len, error) &&
           block_modify_finish(&blocks->target, plan->sync, error);
}

bool vhdx_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct vhdx *vhdx = vhdx_of(image);
    struct target *target;
    RETURN_IF_FAILED(check_plan(image, plan, error) && vhdx_open_target(image, &target, error));
    uint64_t last_block = (plan->virtual_len - 1) / vhdx->metadata.block_len;
    uint64_t count = vhdx_entry_index(vhdx, last_block) + 1;
    if (!grow(block_modify_of(target), count, plan, error)) {
        target_abandon(target);
        return false;
    }
    vhdx->metadata.virtual_len = plan->virtual_len;
    vhdx->entry_count = count;
    return true;
}
