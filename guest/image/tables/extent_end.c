/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/tables/extent_end.h"

#include "base/checked.h"

void extent_look_for_end(struct extent *extent, uint64_t unit_len)
{
    if (extent->kind == EXTENT_COMPRESSED) {
        extent->is_missing = extent->file_off >= extent->file->len;
    } else if (extent->kind == EXTENT_DATA || extent->kind == EXTENT_ENCRYPTED) {
        uint64_t in_unit = extent->voff % unit_len;
        uint64_t unit_off = extent->file_off - in_unit;
        extent->is_missing = unit_off >= extent->file->len;
        if (!extent->is_missing) {
            uint64_t left_len = extent->file->len - unit_off;
            uint64_t units_len = left_len - left_len % unit_len + (left_len % unit_len != 0 ? unit_len : 0);
            extent->len = min_u64(extent->len, units_len - in_unit);
        }
    }
}

void extent_look_for_entry(struct extent *extent, const struct block_table *table, uint64_t index)
{
    extent->is_missing = extent->is_missing || index >= block_table_stored_count(table);
}
