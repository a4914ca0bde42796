/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sparse disk that becomes longer (QEMU makes none so). Where its directories are too short, new ones with the
 * further tables go behind everything, and lead to the old tables, too; the header leads to them, and says how long the
 * disk is, by one write with the descriptor.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/formats/vmdk/vmdk_writer.h"

#define ENTRY_LEN 4u

/*
 * Where nobody has looked how long the backing file is, zeros must hide it all over: without entries that say so they
 * would be stored.
 */
static bool check_backing(const struct image *image, const struct resize_plan *plan, struct error *error)
{
    const struct vmdk *vmdk = vmdk_of(image);
    const struct vmdk_extent *last = vmdk->extent_count > 0 ? &vmdk->extents[vmdk->extent_count - 1] : NULL;
    bool is_unknown = image->backing == NULL && image->backing_name.is_set;
    bool stores_zeros = last != NULL && last->kind == VMDK_KIND_SPARSE && !last->tables.has_zeroed_grains;
    return !is_unknown || !stores_zeros || plan->virtual_len <= image->virtual_len ||
           error_set(error, ERROR_UNSUPPORTED, NULL,
                     "images without zeroed grains grow when it is known how long the backing file is: allow it with "
                     "--backing=beside, or with --backing-file");
}

bool vmdk_resize_check_plan(const struct image *image, const struct resize_plan *plan, struct error *error)
{
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Preallocation is not supported for this image format");
    }
    if (plan->virtual_len < image->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Shrinking images is currently not supported");
    }
    if (plan->virtual_len % VMDK_SECTOR_LEN != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid image size specified");
    }
    return check_backing(image, plan, error);
}

/* What the tables have behind the disk's end is of a disk that was longer once. */
static bool clear_behind(struct vmdk_modify *modify, struct error *error)
{
    const struct vmdk_tables *tables = &modify->extent->tables;
    uint64_t first = divide_up(tables->capacity_len, tables->grain_len);
    uint64_t end = tables->directory_count * tables->table_count;
    struct block_table table;
    for (uint32_t i = 0; i < (tables->has_redundant ? 2 : 1) && first < end; i++) {
        uint64_t directory_off = i == 0 ? tables->directory_off : tables->redundant_off;
        RETURN_IF_FAILED(vmdk_modify_find_table(modify, directory_off, first, &table, error) &&
                         block_modify_clear_entries(&modify->blocks, &table, first % tables->table_count,
                                                    tables->table_count, 0, error));
    }
    return block_modify_checkpoint(&modify->blocks, error) && block_modify_flush(&modify->blocks, error);
}

/* What is appended for one directory: itself, and its further tables. */
struct growth {
    uint64_t old_count; /* tables */
    uint64_t count;
    uint64_t directory_len; /* bytes, whole sectors */
    uint64_t table_len;
};

/* The directory at `off`, with the tables behind it, which are zeros: the entries of the old one come first. */
static bool write_directory(struct vmdk_modify *modify, const struct growth *growth, uint64_t old_off, uint64_t off,
                            struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct block_table old = {blocks->target.file, old_off, growth->old_count, BLOCK_TABLE_LE32};
    uint64_t tables_off = off + growth->directory_len;
    uint64_t index = 0;
    for (uint64_t done_len = 0; done_len < growth->directory_len; done_len += BLOCK_MODIFY_BOUNCE_LEN) {
        uint32_t part_len = (uint32_t)min_u64(growth->directory_len - done_len, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&blocks->target, error));
        memset(blocks->bounce, 0, part_len);
        for (uint32_t at = 0; at < part_len && index < growth->count; at += ENTRY_LEN, index++) {
            uint64_t entry;
            if (index < growth->old_count) {
                RETURN_IF_FAILED(block_table_read(blocks->changes.cache, &old, index, &entry, error));
            } else {
                uint32_t sector;
                uint64_t table_off = tables_off + (index - growth->old_count) * growth->table_len;
                RETURN_IF_FAILED(vmdk_new_entry(&blocks->target, table_off, &sector, error));
                entry = sector;
            }
            block_table_word_put(blocks->bounce + at, BLOCK_TABLE_LE32, entry);
        }
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, off + done_len, blocks->bounce, part_len, error));
    }
    return true;
}

/* New directories, if the old ones are too short; the header in memory leads to them. */
static bool grow_directories(struct vmdk_modify *modify, uint64_t count, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    const struct vmdk_tables *tables = &modify->extent->tables;
    struct growth growth = {
        .old_count = tables->directory_count,
        .count = count,
        .directory_len = round_up(count * ENTRY_LEN, VMDK_SECTOR_LEN),
        .table_len = round_up((uint64_t)tables->table_count * ENTRY_LEN, VMDK_SECTOR_LEN),
    };
    if (count <= growth.old_count) {
        return true;
    }
    uint64_t off;
    uint64_t one_len = growth.directory_len + (count - growth.old_count) * growth.table_len;
    uint64_t len = tables->has_redundant ? 2 * one_len : one_len;
    /* Whole grains, so that those behind are where they would be without it. */
    RETURN_IF_FAILED(block_modify_append_table(blocks, round_up(len, tables->grain_len), VMDK_SECTOR_LEN, &off, error));
    if (tables->has_redundant) {
        RETURN_IF_FAILED(write_directory(modify, &growth, tables->redundant_off, off, error));
        modify->header.redundant_sector = off / VMDK_SECTOR_LEN;
        off += one_len;
    }
    modify->header.directory_sector = off / VMDK_SECTOR_LEN;
    return write_directory(modify, &growth, tables->directory_off, off, error);
}

/* Of an extent in a file of its own, the descriptor is elsewhere. */
static bool write_head(struct vmdk_modify *modify, uint64_t len, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct vmdk_descriptor_edit edit;
    struct file *file = blocks->target.file;
    bool has_descriptor = !modify->is_part;
    modify->header.capacity_sectors = len / VMDK_SECTOR_LEN;
    RETURN_IF_FAILED(target_settle(&blocks->target, error));
    RETURN_IF_FAILED(
        cache_read(blocks->changes.cache, file, 0, blocks->bounce, VMDK_SPARSE_HEADER_LEN, error) &&
        (!has_descriptor || vmdk_modify_read_descriptor(modify, blocks->bounce + VMDK_DESCRIPTOR_OFF, &edit, error)));
    vmdk_sparse_header_set_shape(&modify->header, blocks->bounce);
    if (!has_descriptor) {
        block_modify_tell(blocks);
        RETURN_IF_FAILED(block_modify_flush(blocks, error));
        return table_changes_store(&blocks->changes, 0, blocks->bounce, VMDK_SPARSE_HEADER_LEN, error) &&
               block_modify_flush(blocks, error);
    }
    if (!vmdk_descriptor_edit_sectors(&edit, modify->header.capacity_sectors)) {
        return error_set(error, ERROR_UNSUPPORTED, file->name, "the image's descriptor cannot be changed");
    }
    block_modify_tell(blocks);
    return vmdk_modify_write_head(modify, error);
}

/* The tables that the disk is to have. */
static bool choose_tables(const struct vmdk_extent *extent, uint64_t virtual_len, struct vmdk_tables *ret_tables,
                          struct error *error)
{
    *ret_tables = extent->tables;
    struct vmdk_shape shape = {
        .capacity_sectors = virtual_len / VMDK_SECTOR_LEN,
        .grain_sectors = extent->tables.grain_len / VMDK_SECTOR_LEN,
        .table_count = extent->tables.table_count,
        .directory_sector = extent->tables.directory_off / VMDK_SECTOR_LEN,
        .directory_count = UINT64_MAX,
    };
    return vmdk_tables_set(ret_tables, &shape, error);
}

bool vmdk_resize_extent(struct vmdk_modify *modify, uint64_t len, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct vmdk_extent *extent = modify->extent;
    struct vmdk_tables longer;
    RETURN_IF_FAILED(choose_tables(extent, len, &longer, error));
    RETURN_IF_FAILED(block_modify_begin(blocks, error) && clear_behind(modify, error) &&
                     grow_directories(modify, longer.directory_count, error) && block_modify_flush(blocks, error));
    /* From here on, what is looked up is in the new directories: all of it is what the old ones have, or nobody's. */
    longer.directory_off = modify->header.directory_sector * VMDK_SECTOR_LEN;
    longer.redundant_off = modify->header.redundant_sector * VMDK_SECTOR_LEN;
    extent->tables = longer;
    extent->len = len;
    return block_modify_clear_end(blocks, len, error) && write_head(modify, len, error);
}

bool vmdk_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    static struct vmdk_layout layout; /* large */
    struct vmdk_extent *extent;
    struct vmdk_modify *modify;
    if (vmdk_is_in_parts(image)) {
        return vmdk_parts_resize(image, plan, error);
    }
    RETURN_IF_FAILED(vmdk_modify_check_kind(image, &extent, error) && vmdk_resize_check_plan(image, plan, error) &&
                     vmdk_layout_look(&layout, image, extent, error) &&
                     vmdk_modify_make(image, extent, &layout, &modify, error));
    if (vmdk_resize_extent(modify, plan->virtual_len, error) &&
        block_modify_finish(&modify->blocks.target, plan->sync, error)) {
        return true;
    }
    target_abandon(&modify->blocks.target);
    return false;
}
