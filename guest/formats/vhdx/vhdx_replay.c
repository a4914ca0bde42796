/* SPDX-License-Identifier: Apache-2.0 */
/* The log replayed into the file (2.3.3). */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_modify.h"

static bool apply_patch(struct vhdx_modify *modify, const struct vhdx_patch *patch, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    RETURN_IF_FAILED(block_modify_grow_to(blocks, patch->off + patch->len, error));
    if (!patch->is_data) {
        return block_modify_put_zeros(blocks, patch->off, patch->len, true, error);
    }
    RETURN_IF_FAILED(file_read(blocks->target.file, patch->log_off, blocks->bounce, VHDX_LOG_SECTOR_LEN, error));
    vhdx_patch_restore(patch, blocks->bounce);
    return table_changes_store(&blocks->changes, patch->off, blocks->bounce, VHDX_LOG_SECTOR_LEN, error);
}

bool vhdx_replay(struct vhdx_modify *modify, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct vhdx *vhdx = modify->vhdx;
    struct file *file = blocks->target.file;
    uint64_t needed_len = vhdx->patches.file_len;
    if (needed_len > FILE_END_MAX) {
        return error_set(error, ERROR_MALFORMED, file->name, "log: the file would have %llu bytes",
                         (unsigned long long)needed_len);
    }
    RETURN_IF_FAILED(block_modify_grow_to(blocks, needed_len, error));
    for (uint32_t i = 0; i < vhdx->patches.count; i++) {
        RETURN_IF_FAILED(apply_patch(modify, &vhdx->patches.patches[i], error));
    }
    /* A crash before this replays it all once more. */
    RETURN_IF_FAILED(vhdx_write_header(modify, VHDX_HEADER_ENDS, error));
    vhdx->needs_replay = false;
    vhdx->patches.count = 0;
    blocks->image->unit_len_max = 0;
    blocks->fresh_off = max_u64(blocks->fresh_off, blocks->kept_len);
    cache_set_overlay(blocks->changes.cache, file, NULL);
    return true;
}
