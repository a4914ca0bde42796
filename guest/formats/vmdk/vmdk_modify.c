/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: one sparse extent, in the image's own file, whose grain tables are all there,
 * as VMware and QEMU make them. Grains go behind all others, and their entries to both tables where there are two.
 */
#include <string.h>

#include "guest/formats/vmdk/vmdk_modify.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/block_modify.h"
#include "guest/image/block_storage.h"

/* Directories, tables of both, header and descriptor. */
#define AREAS_MAX 6u
#define CID_KEY "CID="
#define CID_DIGITS_MAX 8u

struct vmdk_modify {
    struct block_modify blocks; /* first */
    struct vmdk *vmdk;
    const struct vmdk_extent *extent;
    uint64_t descriptor_off; /* bytes */
    uint64_t metadata_end;   /* bytes: where grains may begin */
};

struct area {
    uint64_t off; /* bytes */
    uint64_t end_off;
};

/* What is looked at before the first change. */
struct vmdk_layout {
    struct image *image;
    const struct vmdk_extent *extent;
    struct area areas[AREAS_MAX];
    uint32_t area_count;
    uint64_t end_off; /* behind all of them */
};

static struct vmdk_modify *modify_of(struct block_modify *blocks)
{
    return (struct vmdk_modify *)blocks;
}

static struct block_table directory_at(const struct vmdk_extent *extent, uint64_t off)
{
    return (struct block_table){extent->file, off, extent->tables.directory_count, BLOCK_TABLE_LE32};
}

/* The table of a directory that has grain `grain`. */
static bool find_table(struct block_modify *blocks, uint64_t directory_off, uint64_t grain,
                       struct block_table *ret_table, struct error *error)
{
    const struct vmdk_extent *extent = modify_of(blocks)->extent;
    struct block_table directory = directory_at(extent, directory_off);
    uint64_t sector;
    RETURN_IF_FAILED(
        table_changes_get(&blocks->changes, &directory, grain / extent->tables.table_count, &sector, error));
    *ret_table =
        (struct block_table){extent->file, sector * VMDK_SECTOR_LEN, extent->tables.table_count, BLOCK_TABLE_LE32};
    return true;
}

static bool vmdk_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                      struct error *error)
{
    const struct vmdk_tables *tables = &modify_of(blocks)->extent->tables;
    struct block_table table;
    uint64_t entry;
    RETURN_IF_FAILED(find_table(blocks, tables->directory_off, block, &table, error));
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &table, block % table.count, &entry, error));
    *ret_place = (struct block_modify_place){BLOCK_STORED, entry * VMDK_SECTOR_LEN};
    if (entry == 0) {
        ret_place->kind = BLOCK_NONE;
    } else if (entry == VMDK_ENTRY_ZEROED && tables->has_zeroed_grains) {
        ret_place->kind = BLOCK_ZERO;
    }
    return true;
}

static bool set_entry(struct block_modify *blocks, uint64_t block, uint64_t entry, struct error *error)
{
    const struct vmdk_tables *tables = &modify_of(blocks)->extent->tables;
    struct block_table table;
    RETURN_IF_FAILED(find_table(blocks, tables->directory_off, block, &table, error));
    RETURN_IF_FAILED(table_changes_set(&blocks->changes, &table, block % table.count, entry, error));
    if (!tables->has_redundant) {
        return true;
    }
    RETURN_IF_FAILED(find_table(blocks, tables->redundant_off, block, &table, error));
    return table_changes_set(&blocks->changes, &table, block % table.count, entry, error);
}

static bool vmdk_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    uint32_t entry;
    RETURN_IF_FAILED(block_modify_append(blocks, blocks->block_len, VMDK_SECTOR_LEN, ret_off, error));
    return vmdk_new_entry(&blocks->target, *ret_off, &entry, error) && set_entry(blocks, block, entry, error);
}

static bool vmdk_set_zero(struct block_modify *blocks, uint64_t block, struct error *error)
{
    return set_entry(blocks, block, VMDK_ENTRY_ZEROED, error);
}

static bool is_hex_digit(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* Where the digits of the content ID are in a descriptor's bytes, and how many: CID_DIGITS_MAX at most. */
static bool find_cid(struct span text, size_t *ret_pos, uint32_t *ret_count)
{
    const size_t key_len = sizeof(CID_KEY) - 1;
    for (size_t pos = 0; pos + key_len <= text.len; pos++) {
        if (memcmp(text.data + pos, CID_KEY, key_len) == 0 && (pos == 0 || text.data[pos - 1] == '\n')) {
            size_t end = pos + key_len;
            while (end < text.len && end < pos + key_len + CID_DIGITS_MAX && is_hex_digit(text.data[end])) {
                end++;
            }
            *ret_pos = pos + key_len;
            *ret_count = (uint32_t)(end - *ret_pos);
            return *ret_count > 0;
        }
    }
    return false;
}

/* Another one, of as many digits: any will do but the one that says that there is none. */
static uint32_t next_cid(uint32_t cid, uint32_t digit_count)
{
    uint32_t mask = digit_count == CID_DIGITS_MAX ? UINT32_MAX : (1u << 4 * digit_count) - 1;
    uint32_t next = (cid * 0x9e3779b1u + 0x7f4a7c15u) & mask;
    return next == cid || next == UINT32_MAX ? (next ^ 1u) & mask : next;
}

/*
 * The content is another one from now on, so that nobody takes it for what images in front of it were made for
 * ("Virtual Disk Format 5.0", CID). What is behind an image that is committed stays what it was made for.
 */
static bool vmdk_begin(struct block_modify *blocks, struct error *error)
{
    static const char digits[] = "0123456789abcdef";
    struct vmdk_modify *modify = modify_of(blocks);
    size_t pos;
    uint32_t count;
    uint32_t len = VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR_LEN;
    if (blocks->image->purpose != IMAGE_TO_CHANGE) {
        return true;
    }
    RETURN_IF_FAILED(
        cache_read(blocks->changes.cache, blocks->target.file, modify->descriptor_off, blocks->bounce, len, error));
    if (!find_cid((struct span){blocks->bounce, len}, &pos, &count)) {
        return true;
    }
    uint32_t cid = next_cid(modify->vmdk->cid, count);
    for (uint32_t i = 0; i < count; i++) {
        blocks->bounce[pos + i] = (uint8_t)digits[cid >> (4 * (count - 1 - i)) & 15];
    }
    modify->vmdk->cid = cid;
    uint32_t first = (uint32_t)round_down(pos, VMDK_SECTOR_LEN);
    uint32_t end = (uint32_t)round_up(pos + count, VMDK_SECTOR_LEN);
    return table_changes_store(&blocks->changes, modify->descriptor_off + first, blocks->bounce + first, end - first,
                               error);
}

static bool fail(const struct vmdk_layout *layout, const char *what, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, layout->extent->file->name, "%s: such images are not changed", what);
}

static bool add_area(struct vmdk_layout *layout, uint64_t off, uint64_t end_off, struct error *error)
{
    if (end_off > layout->extent->file->len) {
        return fail(layout, "the image's metadata is behind the end of its file", error);
    }
    for (uint32_t i = 0; i < layout->area_count; i++) {
        if (off < layout->areas[i].end_off && layout->areas[i].off < end_off) {
            return fail(layout, "parts of the image's metadata overlap", error);
        }
    }
    layout->areas[layout->area_count++] = (struct area){off, end_off};
    layout->end_off = max_u64(layout->end_off, end_off);
    return true;
}

/* A directory and its tables, which follow one another, one for each entry. */
static bool look_at_directory(struct vmdk_layout *layout, uint64_t off, struct error *error)
{
    const struct vmdk_tables *tables = &layout->extent->tables;
    struct block_table directory = directory_at(layout->extent, off);
    uint64_t table_len = (uint64_t)tables->table_count * block_table_word_len(BLOCK_TABLE_LE32);
    uint64_t first_off = 0;
    uint64_t end_off = 0;
    RETURN_IF_FAILED(add_area(layout, off, off + directory.count * block_table_word_len(BLOCK_TABLE_LE32), error));
    for (uint64_t i = 0; i < directory.count; i++) { /* ends: VMDK_DIRECTORY_COUNT_MAX */
        uint64_t sector;
        RETURN_IF_FAILED(block_table_read(layout->image->environment->cache, &directory, i, &sector, error));
        uint64_t table_off = sector * VMDK_SECTOR_LEN;
        if (sector == 0 || table_off < end_off) {
            return fail(layout, "the grain directory is incomplete, or in an odd order", error);
        }
        first_off = i == 0 ? table_off : first_off;
        end_off = table_off + table_len;
    }
    return directory.count == 0 || add_area(layout, first_off, end_off, error);
}

static bool look_at_metadata(struct vmdk_layout *layout, uint64_t descriptor_off, struct error *error)
{
    const struct vmdk_tables *tables = &layout->extent->tables;
    uint64_t descriptor_end = descriptor_off + (uint64_t)VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR_LEN;
    return add_area(layout, 0, VMDK_SPARSE_HEADER_LEN, error) &&
           add_area(layout, descriptor_off, descriptor_end, error) &&
           look_at_directory(layout, tables->directory_off, error) &&
           (!tables->has_redundant || look_at_directory(layout, tables->redundant_off, error));
}

/* Every grain has a place of its own; *ret_end_off is behind them all. */
static bool look_at_grains(const struct vmdk_layout *layout, uint64_t *ret_end_off, struct error *error)
{
    const struct vmdk_tables *tables = &layout->extent->tables;
    struct cache *cache = layout->image->environment->cache;
    struct block_table directory = directory_at(layout->extent, tables->directory_off);
    struct block_storage storage;
    RETURN_IF_FAILED(block_storage_make(&storage, layout->image, tables->grain_len, layout->end_off, error));
    for (uint64_t i = 0; i < directory.count; i++) {
        uint64_t sector;
        uint64_t step;
        RETURN_IF_FAILED(block_table_read(cache, &directory, i, &sector, error));
        struct block_table table = {layout->extent->file, sector * VMDK_SECTOR_LEN, tables->table_count,
                                    BLOCK_TABLE_LE32};
        for (uint64_t at = 0; at < table.count; at += step) { /* ends: step is 1 at least */
            uint64_t entry;
            RETURN_IF_FAILED(block_table_run(cache, &table, at, table.count - at, 0, &entry, &step, error));
            bool is_stored = entry != 0 && (entry != VMDK_ENTRY_ZEROED || !tables->has_zeroed_grains);
            step = is_stored ? 1 : step;
            RETURN_IF_FAILED(!is_stored ||
                             block_storage_add(&storage, i * table.count + at, entry * VMDK_SECTOR_LEN, error));
        }
    }
    *ret_end_off = storage.has_first ? storage.end_off : round_up(storage.end_off, tables->grain_len);
    return true;
}

/* Of both directories, as the tables are. */
static bool clear_tables(struct block_modify *blocks, uint64_t directory_off, struct error *error)
{
    const struct vmdk_tables *tables = &modify_of(blocks)->extent->tables;
    for (uint64_t i = 0; i < tables->directory_count; i++) {
        struct block_table table;
        RETURN_IF_FAILED(find_table(blocks, directory_off, i * tables->table_count, &table, error) &&
                         block_modify_clear_table(blocks, &table, error));
    }
    return true;
}

/* Nothing of the disk is the image's any more, and the file ends behind its metadata. */
static bool vmdk_make_empty(struct target *target, struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    const struct vmdk_modify *modify = modify_of(blocks);
    const struct vmdk_tables *tables = &modify->extent->tables;
    blocks->has_begun = true; /* its content is now that of the image behind it: the same, so its ID stays */
    RETURN_IF_FAILED(clear_tables(blocks, tables->directory_off, error));
    RETURN_IF_FAILED(!tables->has_redundant || clear_tables(blocks, tables->redundant_off, error));
    RETURN_IF_FAILED(block_modify_checkpoint(blocks, error) && block_modify_flush(blocks, error));
    blocks->next_off = modify->metadata_end;
    blocks->kept_len = min_u64(modify->metadata_end, target->file->len);
    return true;
}

static bool check_kind(const struct image *image, const struct vmdk *vmdk, struct error *error)
{
    const struct vmdk_extent *extent = &vmdk->extents[0];
    const struct vmdk_tables *tables = &extent->tables;
    bool is_plain = vmdk->extent_count == 1 && extent->kind == VMDK_KIND_SPARSE && extent->file == image->file &&
                    !tables->is_compressed && !tables->has_markers && !tables->is_sesparse &&
                    is_power_of_two(tables->grain_len);
    return is_plain || error_set(error, ERROR_UNSUPPORTED, image->file->name,
                                 "writing to vmdk images of type '%s' is not supported yet: only to monolithicSparse "
                                 "ones",
                                 vmdk->create_type);
}

bool vmdk_open_target(struct image *image, struct target **ret_target, struct error *error)
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
    static struct target_operations operations;
    struct vmdk *vmdk = vmdk_of(image);
    uint8_t bytes[VMDK_SPARSE_HEADER_LEN];
    struct vmdk_sparse_header header;
    uint64_t end_off;
    struct vmdk_modify *modify =
        arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct vmdk_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    RETURN_IF_FAILED(check_kind(image, vmdk, error));
    struct vmdk_layout layout = {.image = image, .extent = &vmdk->extents[0]};
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, bytes, sizeof(bytes), error));
    if (!vmdk_sparse_header_parse((struct span){bytes, sizeof(bytes)}, &header)) {
        return fail(&layout, "the image has another header than that of a hosted sparse extent", error);
    }
    /* As in QEMU it is there, wherever the header says that it is. */
    modify->descriptor_off = (uint64_t)VMDK_DESCRIPTOR_SECTOR * VMDK_SECTOR_LEN;
    RETURN_IF_FAILED(look_at_metadata(&layout, modify->descriptor_off, error) &&
                     look_at_grains(&layout, &end_off, error));
    modify->vmdk = vmdk;
    modify->extent = layout.extent;
    modify->metadata_end = max_u64(round_up(layout.end_off, layout.extent->tables.grain_len),
                                   header.overhead_sectors * VMDK_SECTOR_LEN); /* checked when it was opened */
    const struct vmdk_tables *tables = &layout.extent->tables;
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image,
                                       tables->has_zeroed_grains ? &zeroing_format : &plain_format, tables->grain_len,
                                       end_off, VMDK_SECTOR_LEN, error));
    operations = block_modify_operations;
    operations.make_empty = vmdk_make_empty;
    modify->blocks.target.operations = &operations;
    modify->blocks.target.has_compressed_kinds = true;
    *ret_target = &modify->blocks.target;
    return true;
}
