/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: clusters and L2 tables go behind all others. A compressed cluster that is
 * written to gets a new place, and its stream stays as nobody's, as in QEMU.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow/qcow.h"
#include "guest/formats/qcow/qcow_header.h"
#include "guest/image/bit_set.h"
#include "guest/image/write/block_modify.h"

#define ENTRY_LEN 8u

struct qcow_modify {
    struct block_modify blocks; /* first */
    struct qcow_header *header; /* the image's */
};

/* What in the file is used, by sectors. */
struct qcow_usage {
    struct image *image;
    const struct qcow_header *header;
    struct bit_set used;
    uint64_t end_off; /* bytes */
};

static struct qcow_modify *modify_of(struct block_modify *blocks)
{
    return (struct qcow_modify *)blocks;
}

static struct block_table l1_of(const struct image *image)
{
    const struct qcow_header *header = image->state;
    return (struct block_table){image->file, header->l1_off, header->l1_count, BLOCK_TABLE_BE64};
}

static struct block_table l2_at(const struct image *image, uint64_t off)
{
    const struct qcow_header *header = image->state;
    return (struct block_table){image->file, off, 1ull << header->l2_bits, BLOCK_TABLE_BE64};
}

static bool find_table(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct block_table l1 = l1_of(blocks->image);
    return table_changes_get(&blocks->changes, &l1, block >> modify_of(blocks)->header->l2_bits, ret_off, error);
}

static bool qcow_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                      struct error *error)
{
    uint64_t l2_off;
    uint64_t entry = 0;
    RETURN_IF_FAILED(find_table(blocks, block, &l2_off, error));
    if (l2_off != 0) {
        struct block_table l2 = l2_at(blocks->image, l2_off);
        RETURN_IF_FAILED(table_changes_get(&blocks->changes, &l2, block & (l2.count - 1), &entry, error));
    }
    *ret_place = (struct block_modify_place){BLOCK_STORED, entry};
    if (entry == 0) {
        ret_place->kind = BLOCK_NONE;
    } else if ((entry & QCOW_ENTRY_COMPRESSED) != 0) {
        *ret_place = (struct block_modify_place){.kind = BLOCK_PACKED};
    }
    return true;
}

static bool qcow_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    uint64_t l2_off;
    uint64_t l2_len = ENTRY_LEN << modify_of(blocks)->header->l2_bits;
    RETURN_IF_FAILED(find_table(blocks, block, &l2_off, error));
    if (l2_off == 0) {
        struct block_table l1 = l1_of(blocks->image);
        uint64_t index = block >> modify_of(blocks)->header->l2_bits;
        RETURN_IF_FAILED(block_modify_append_table(blocks, l2_len, blocks->block_len, &l2_off, error) &&
                         table_changes_set(&blocks->changes, &l1, index, l2_off, error));
    }
    struct block_table l2 = l2_at(blocks->image, l2_off);
    return block_modify_append(blocks, blocks->block_len, blocks->block_len, ret_off, error) &&
           table_changes_set(&blocks->changes, &l2, block & (l2.count - 1), *ret_off, error);
}

static bool use(struct qcow_usage *usage, uint64_t off, uint64_t len, const char *what, struct error *error)
{
    bool is_used = false;
    uint64_t file_len = round_up(usage->image->file->len, QCOW_SECTOR_LEN);
    bool is_within = off < file_len && range_is_within(off, len, INT64_MAX);
    uint64_t end_off = is_within ? min_u64(off + len, file_len) : 0; /* the last cluster may end behind the file */
    for (uint64_t at = off / QCOW_SECTOR_LEN; at * QCOW_SECTOR_LEN < end_off; at++) { /* ends: the file does */
        is_used = bit_set_add(&usage->used, at) || is_used;
    }
    if (!is_within || is_used) {
        return error_set(error, ERROR_MALFORMED, usage->image->file->name,
                         "the image is damaged (%s at offset 0x%llx %s), and is not changed", what,
                         (unsigned long long)off, is_within ? "overlaps others" : "is behind the end of the file");
    }
    usage->end_off = max_u64(usage->end_off, off + len);
    return true;
}

static bool use_entry(struct qcow_usage *usage, uint64_t entry, struct error *error)
{
    uint32_t cluster_bits = usage->header->cluster_bits;
    uint32_t off_bits = 63 - cluster_bits;
    if ((entry & QCOW_ENTRY_COMPRESSED) != 0) {
        return use(usage, entry & ((1ull << off_bits) - 1), entry >> off_bits & ((1ull << cluster_bits) - 1),
                   "a compressed cluster", error);
    }
    return use(usage, entry, 1ull << cluster_bits, "a cluster", error);
}

/* Ends: each L2 table that is looked at has sectors of the file that no other one has. */
static bool look_at_tables(struct qcow_usage *usage, struct error *error)
{
    struct cache *cache = usage->image->environment->cache;
    struct block_table l1 = l1_of(usage->image);
    RETURN_IF_FAILED(use(usage, l1.off, l1.count * ENTRY_LEN, "the L1 table", error));
    for (uint64_t i = 0; i < l1.count; i++) {
        uint64_t l2_off;
        RETURN_IF_FAILED(block_table_read(cache, &l1, i, &l2_off, error));
        struct block_table l2 = l2_at(usage->image, l2_off);
        RETURN_IF_FAILED(l2_off == 0 || use(usage, l2_off, l2.count * ENTRY_LEN, "an L2 table", error));
        uint64_t step;
        for (uint64_t at = 0; l2_off != 0 && at < l2.count; at += step) {
            uint64_t entry;
            RETURN_IF_FAILED(block_table_run(cache, &l2, at, l2.count - at, 0, &entry, &step, error));
            step = entry == 0 ? step : 1;
            RETURN_IF_FAILED(entry == 0 || use_entry(usage, entry, error));
        }
    }
    return true;
}

/* Header and name are in sectors that the L1 table may begin in. */
static bool look_at_image(struct image *image, uint64_t *ret_end_off, struct error *error)
{
    const struct qcow_header *header = image->state;
    struct qcow_usage usage = {.image = image, .header = header};
    uint64_t name_end = header->backing_off != 0 ? header->backing_off + header->backing_len : 0;
    RETURN_IF_FAILED(
        bit_set_make(&usage.used, image->environment->arena, image->file->len / QCOW_SECTOR_LEN + 1, error));
    if (header->l1_off < QCOW_HEADER_LEN || header->l1_off % ENTRY_LEN != 0 ||
        (header->backing_off != 0 && !range_is_within(header->backing_off, header->backing_len, image->file->len))) {
        return error_set(
            error, ERROR_MALFORMED, image->file->name,
            "the image is damaged (its L1 table at 0x%llx, or its backing file's name, has an odd place), and "
            "is not changed",
            (unsigned long long)header->l1_off);
    }
    RETURN_IF_FAILED(look_at_tables(&usage, error));
    /* The sectors before the L1 table are the header's; a name behind it has some of its own. */
    uint64_t l1_end = header->l1_off + header->l1_count * ENTRY_LEN;
    for (uint64_t at = 0; at < header->l1_off / QCOW_SECTOR_LEN; at++) {
        if (bit_set_add(&usage.used, at)) {
            return error_set(error, ERROR_MALFORMED, image->file->name,
                             "the image is damaged (something overlaps its header), and is not changed");
        }
    }
    RETURN_IF_FAILED(name_end <= l1_end ||
                     use(&usage, header->backing_off, header->backing_len, "the backing file's name", error));
    *ret_end_off = usage.end_off;
    return true;
}

/* Nothing of the disk is the image's any more: no L2 table is, and the file ends behind the L1 table, or the name. */
static bool qcow_make_empty(struct target *target, struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    const struct qcow_header *header = modify_of(blocks)->header;
    struct block_table l1 = l1_of(blocks->image);
    uint64_t name_end = header->backing_off != 0 ? header->backing_off + header->backing_len : 0;
    RETURN_IF_FAILED(block_modify_clear_table(blocks, &l1, error) && block_modify_checkpoint(blocks, error) &&
                     block_modify_flush(blocks, error));
    blocks->next_off = round_up(max_u64(header->l1_off + header->l1_count * ENTRY_LEN, name_end), QCOW_SECTOR_LEN);
    blocks->kept_len = min_u64(blocks->next_off, target->file->len);
    return true;
}

/*
 * The header is in one sector, and written at once. A name that does not fit before the L1 table goes to the file's
 * end, before.
 */
static bool qcow_set_backing(struct target *target, const struct file_name *name, const char *format,
                             struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    struct qcow_header *header = modify_of(blocks)->header;
    bool is_short = QCOW_HEADER_LEN + name->len <= min_u64(header->l1_off, QCOW_SECTOR_LEN);
    (void)format; /* the image has no place for it */
    RETURN_IF_FAILED(target_settle(target, error));
    uint64_t name_off = QCOW_HEADER_LEN;
    if (!is_short) {
        uint32_t len = (uint32_t)round_up(name->len, QCOW_SECTOR_LEN);
        RETURN_IF_FAILED(block_modify_append(blocks, len, QCOW_SECTOR_LEN, &name_off, error));
        memset(blocks->bounce, 0, len);
        memcpy(blocks->bounce, name->bytes, name->len);
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, name_off, blocks->bounce, len, error));
        RETURN_IF_FAILED(!target->file->is_resizable || target_set_len(target, target->file, blocks->kept_len, error));
    }
    header->backing_off = name->is_set ? name_off : 0;
    header->backing_len = name->len;
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, target->file, 0, blocks->bounce, QCOW_SECTOR_LEN, error));
    qcow_header_emit(header, blocks->bounce);
    if (is_short) {
        memcpy(blocks->bounce + QCOW_HEADER_LEN, name->bytes, name->len);
    }
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, 0, blocks->bounce, QCOW_SECTOR_LEN, error));
    return block_modify_flush(blocks, error);
}

bool qcow_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static const struct block_modify_format format = {
        .find = qcow_find,
        .place = qcow_place,
    };
    static struct target_operations operations;
    uint64_t end_off;
    struct qcow_modify *modify =
        arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct qcow_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    modify->header = image->state;
    if (modify->header->is_encrypted && image->cipher == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "the image was opened without its key");
    }
    RETURN_IF_FAILED(look_at_image(image, &end_off, error));
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &format, 1ull << modify->header->cluster_bits, end_off,
                                       QCOW_SECTOR_LEN, error));
    operations = block_modify_operations;
    operations.make_empty = qcow_make_empty;
    operations.set_backing = qcow_set_backing;
    modify->blocks.target.operations = &operations;
    *ret_target = &modify->blocks.target;
    return true;
}
