/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: one sparse extent, in the image's own file, whose grain tables are all there,
 * as VMware and QEMU make them. Grains go behind all others, and their entries to both tables where there are two.
 */
#include "guest/formats/vmdk/vmdk_modify.h"

#include <string.h>

#include "guest/formats/vmdk/vmdk_map.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/formats/vmdk/vmdk_writer.h"

_Static_assert(VMDK_DESCRIPTOR_OFF == VMDK_SPARSE_HEADER_LEN, "both are written at once");
_Static_assert(VMDK_DESCRIPTOR_OFF + VMDK_DESCRIPTOR_LEN <= BLOCK_MODIFY_BOUNCE_LEN, "likewise");

bool vmdk_modify_find_table(struct vmdk_modify *modify, uint64_t directory_off, uint64_t grain,
                            struct block_table *ret_table, struct error *error)
{
    const struct vmdk_extent *extent = modify->extent;
    struct block_table directory = vmdk_directory_at(extent, directory_off);
    uint64_t sector;
    RETURN_IF_FAILED(
        table_changes_get(&modify->blocks.changes, &directory, grain / extent->tables.table_count, &sector, error));
    *ret_table = vmdk_table_at_sector(extent, sector);
    return true;
}

static bool vmdk_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                      struct error *error)
{
    struct vmdk_modify *modify = vmdk_modify_of(blocks);
    const struct vmdk_tables *tables = &modify->extent->tables;
    struct block_table table;
    uint64_t entry;
    RETURN_IF_FAILED(vmdk_modify_find_table(modify, tables->directory_off, block, &table, error));
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &table, block % table.count, &entry, error));
    *ret_place = (struct block_modify_place){BLOCK_STORED, entry * VMDK_SECTOR_LEN};
    if (entry == 0) {
        ret_place->kind = BLOCK_NONE;
    } else if (entry == VMDK_ENTRY_ZEROED && tables->has_zeroed_grains) {
        ret_place->kind = BLOCK_ZERO;
    }
    return true;
}

bool vmdk_modify_set_entry(struct vmdk_modify *modify, uint64_t grain, uint64_t entry, struct error *error)
{
    const struct vmdk_tables *tables = &modify->extent->tables;
    struct table_changes *changes = &modify->blocks.changes;
    struct block_table table;
    RETURN_IF_FAILED(vmdk_modify_find_table(modify, tables->directory_off, grain, &table, error));
    RETURN_IF_FAILED(table_changes_set(changes, &table, grain % table.count, entry, error));
    if (!tables->has_redundant) {
        return true;
    }
    RETURN_IF_FAILED(vmdk_modify_find_table(modify, tables->redundant_off, grain, &table, error));
    return table_changes_set(changes, &table, grain % table.count, entry, error);
}

static bool vmdk_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    uint32_t entry;
    RETURN_IF_FAILED(block_modify_append(blocks, blocks->block_len, VMDK_SECTOR_LEN, ret_off, error));
    return vmdk_new_entry(&blocks->target, *ret_off, &entry, error) &&
           vmdk_modify_set_entry(vmdk_modify_of(blocks), block, entry, error);
}

static bool vmdk_set_zero(struct block_modify *blocks, uint64_t block, struct error *error)
{
    return vmdk_modify_set_entry(vmdk_modify_of(blocks), block, VMDK_ENTRY_ZEROED, error);
}

/*
 * The content is another one from now on, so that nobody takes it for what images in front of it were made for
 * ("Virtual Disk Format 5.0", CID). What is behind an image that is committed stays what it was made for.
 */
static bool vmdk_begin(struct block_modify *blocks, struct error *error)
{
    struct vmdk_modify *modify = vmdk_modify_of(blocks);
    struct vmdk_descriptor_edit edit;
    size_t pos;
    size_t len;
    if (blocks->image->purpose != IMAGE_TO_CHANGE) {
        return true;
    }
    RETURN_IF_FAILED(vmdk_modify_read_descriptor(modify, blocks->bounce, &edit, error));
    if (!vmdk_descriptor_edit_cid(&edit, modify->vmdk->cid, &modify->vmdk->cid, &pos, &len)) {
        return true; /* of an extent in a file of its own, the descriptor is elsewhere */
    }
    uint32_t first = (uint32_t)round_down(pos, VMDK_SECTOR_LEN);
    uint32_t end = (uint32_t)round_up(pos + len, VMDK_SECTOR_LEN);
    return table_changes_store(&blocks->changes, VMDK_DESCRIPTOR_OFF + first, blocks->bounce + first, end - first,
                               error);
}

bool vmdk_modify_read_descriptor(struct vmdk_modify *modify, uint8_t *bytes, struct vmdk_descriptor_edit *ret_edit,
                                 struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    struct file *file = blocks->target.file;
    RETURN_IF_FAILED(target_settle(&blocks->target, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, file, VMDK_DESCRIPTOR_OFF, bytes, VMDK_DESCRIPTOR_LEN, error));
    return vmdk_descriptor_edit_begin(ret_edit, bytes, VMDK_DESCRIPTOR_LEN) ||
           error_set(error, ERROR_MALFORMED, file->name, "the descriptor has no end");
}

bool vmdk_modify_write_head(struct vmdk_modify *modify, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    RETURN_IF_FAILED(
        table_changes_store(&blocks->changes, 0, blocks->bounce, VMDK_SPARSE_HEADER_LEN + VMDK_DESCRIPTOR_LEN, error));
    return block_modify_flush(blocks, error);
}

/* Of both directories, as the tables are. */
static bool clear_tables(struct vmdk_modify *modify, uint64_t directory_off, struct error *error)
{
    const struct vmdk_tables *tables = &modify->extent->tables;
    for (uint64_t i = 0; i < tables->directory_count; i++) {
        struct block_table table;
        RETURN_IF_FAILED(vmdk_modify_find_table(modify, directory_off, i * tables->table_count, &table, error) &&
                         block_modify_clear_table(&modify->blocks, &table, error));
    }
    return true;
}

bool vmdk_modify_make_empty(struct vmdk_modify *modify, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    const struct vmdk_tables *tables = &modify->extent->tables;
    blocks->has_begun = true; /* its content is now that of the image behind it: the same, so its ID stays */
    RETURN_IF_FAILED(clear_tables(modify, tables->directory_off, error));
    RETURN_IF_FAILED(!tables->has_redundant || clear_tables(modify, tables->redundant_off, error));
    RETURN_IF_FAILED(block_modify_checkpoint(blocks, error) && block_modify_flush(blocks, error));
    blocks->next_off = modify->metadata_end;
    blocks->kept_len = min_u64(modify->metadata_end, blocks->target.file->len);
    return true;
}

static bool vmdk_make_empty(struct target *target, struct error *error)
{
    return vmdk_modify_make_empty(vmdk_modify_of(block_modify_of(target)), error);
}

bool vmdk_check_plain(const struct image *image, const struct vmdk_extent *extent, struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    bool is_plain = extent->kind == VMDK_KIND_SPARSE && !tables->is_compressed && !tables->has_markers &&
                    !tables->is_sesparse && is_power_of_two(tables->grain_len) &&
                    (!extent->has_type || extent->type == VMDK_EXTENT_SPARSE);
    return is_plain ||
           error_set(error, ERROR_UNSUPPORTED, extent->file != NULL ? extent->file->name : image->file->name,
                     "sparse extents of vmdk images of type '%s' cannot be changed so yet",
                     vmdk_of(image)->create_type);
}

bool vmdk_modify_check_kind(const struct image *image, struct vmdk_extent **ret_extent, struct error *error)
{
    const struct vmdk *vmdk = vmdk_of(image);
    struct error why = {0};
    *ret_extent = &vmdk->extents[0];
    bool is_plain = vmdk->extent_count == 1 && vmdk->extents[0].file == image->file &&
                    vmdk_check_plain(image, &vmdk->extents[0], &why);
    return is_plain || error_set(error, ERROR_UNSUPPORTED, image->file->name,
                                 "vmdk images of type '%s' cannot be changed so yet", vmdk->create_type);
}

bool vmdk_modify_make(struct image *image, struct vmdk_extent *extent, const struct vmdk_layout *layout,
                      struct vmdk_modify **ret_modify, struct error *error)
{
    static const struct block_modify_format plain_format = {
        .find = vmdk_find,
        .place = vmdk_place,
        .begin = vmdk_begin,
    };
    static const struct block_modify_format zeroing_format = {
        .find = vmdk_find,
        .place = vmdk_place,
        .set_zero = vmdk_set_zero,
        .begin = vmdk_begin,
    };
    const struct vmdk_tables *tables = &extent->tables;
    struct vmdk_modify *modify =
        arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct vmdk_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    modify->vmdk = vmdk_of(image);
    modify->extent = extent;
    modify->header = layout->header;
    modify->metadata_end = layout->metadata_end;
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image,
                                       tables->has_zeroed_grains ? &zeroing_format : &plain_format, tables->grain_len,
                                       layout->next_off, VMDK_SECTOR_LEN, error));
    modify->blocks.target.has_compressed_kinds = true;
    *ret_modify = modify;
    return true;
}

/* Whether an image of one compressed extent in its own file may get grains: the disk is to be filled, and is empty. */
static bool is_empty_stream(struct image *image)
{
    const struct vmdk *vmdk = vmdk_of(image);
    struct extent extent;
    struct error ignored = {0};
    if (vmdk->extent_count != 1 || !vmdk->extents[0].tables.is_compressed || image->purpose != IMAGE_TO_CHANGE ||
        image->backing_name.is_set || !image->file->is_resizable) {
        return false;
    }
    for (uint64_t voff = 0; voff < image->virtual_len; voff += extent.len) { /* ends: an extent is not empty */
        if (!vmdk_map(image, voff, image->virtual_len - voff, &extent, &ignored) || extent.kind != EXTENT_UNALLOCATED) {
            return false;
        }
    }
    return true;
}

static bool refill_stream(struct image *image, struct target **ret_target, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    struct vmdk_descriptor_edit edit;
    size_t pos;
    size_t len;
    uint8_t *bytes = arena_allocate(image->environment->arena, VMDK_DESCRIPTOR_LEN, 1);
    if (bytes == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for the image's descriptor");
    }
    RETURN_IF_FAILED(
        cache_read(image->environment->cache, image->file, VMDK_DESCRIPTOR_OFF, bytes, VMDK_DESCRIPTOR_LEN, error));
    if (!vmdk_descriptor_edit_begin(&edit, bytes, VMDK_DESCRIPTOR_LEN) ||
        !vmdk_descriptor_edit_cid(&edit, vmdk->cid, &vmdk->cid, &pos, &len)) {
        return error_set(error, ERROR_MALFORMED, image->file->name, "the image's descriptor cannot be changed");
    }
    return vmdk_stream_refill_make(image, (struct span){edit.bytes, edit.len},
                                   vmdk->extents[0].tables.has_zeroed_grains, ret_target, error);
}

bool vmdk_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static struct target_operations operations;
    struct vmdk_extent *extent;
    static struct vmdk_layout layout; /* large */
    struct vmdk_modify *modify;
    if (vmdk_is_in_parts(image)) {
        return vmdk_parts_open_target(image, ret_target, error);
    }
    if (is_empty_stream(image)) {
        return refill_stream(image, ret_target, error);
    }
    RETURN_IF_FAILED(vmdk_modify_check_kind(image, &extent, error) && vmdk_layout_look(&layout, image, extent, error) &&
                     vmdk_modify_make(image, extent, &layout, &modify, error));
    operations = block_modify_operations;
    operations.make_empty = vmdk_make_empty;
    operations.can_set_backing = vmdk_can_set_backing;
    operations.set_backing = vmdk_set_backing;
    modify->blocks.target.operations = &operations;
    *ret_target = &modify->blocks.target;
    return true;
}
