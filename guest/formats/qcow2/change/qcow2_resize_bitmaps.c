/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps of a disk that gets another length: they keep their bits, and have none behind its end. */
#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/layout/qcow2_bits.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

static uint64_t entry_count(const struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t virtual_len)
{
    return qcow2_bitmap_entry_count(virtual_len, bitmap->granularity_bits, modify->cluster_len);
}

/* Calls `visit` for each bitmap, with where its entry of the directory is. */
static bool for_each(struct qcow2_modify *modify, uint64_t new_len,
                     bool (*visit)(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t off,
                                   uint64_t new_len, struct error *error),
                     struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    const struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    struct qcow2_bitmap_walk walk = {0};
    bool is_end = extensions->bitmap_count == 0;
    while (!is_end) { /* ends: the directory has bitmap_count entries */
        uint64_t off = extensions->bitmap_directory_off + walk.pos;
        RETURN_IF_FAILED(qcow2_bitmap_next(modify->image, &walk, &is_end, &bitmap, error));
        RETURN_IF_FAILED(is_end || visit(modify, &bitmap, off, new_len, error));
    }
    return true;
}

static bool check_one(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t off, uint64_t new_len,
                      struct error *error)
{
    (void)off;
    if ((bitmap->flags & QCOW2_BITMAP_IN_USE) != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Bitmap '%.*s' is inconsistent and cannot be used",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    return entry_count(modify, bitmap, new_len) * modify->cluster_len <= QCOW2_BITMAP_LEN_MAX ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "Bitmap '%.*s' would become too long", bitmap->name_len,
                     (const char *)bitmap->name);
}

static bool mark_one(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t off, uint64_t new_len,
                     struct error *error)
{
    struct be32 flags = be32_make(bitmap->flags | QCOW2_BITMAP_IN_USE);
    bool gets_shorter = new_len < modify->image->virtual_len;
    if (!gets_shorter && entry_count(modify, bitmap, new_len) == bitmap->table_entry_count) {
        return true;
    }
    return qcow2_modify_store(modify, off + QCOW2_BITMAP_FLAGS_POS, &flags, sizeof(flags), QCOW2_AREA_BITMAP_DIRECTORY,
                              error);
}

bool qcow2_resize_bitmaps_begin(struct qcow2_modify *modify, uint64_t new_len, struct error *error)
{
    if (modify->qcow2->extensions.bitmap_count == 0) {
        return true;
    }
    return for_each(modify, new_len, check_one, error) && for_each(modify, new_len, mark_one, error) &&
           qcow2_modify_flush(modify, error);
}

static bool entry_read(struct qcow2_modify *modify, uint64_t table_off, uint64_t index, uint64_t *ret_off,
                       struct error *error)
{
    uint64_t entry;
    RETURN_IF_FAILED(cache_read_be64(modify->image->environment->cache, modify->target.file,
                                     table_off + index * sizeof(struct be64), &entry, error));
    if (!qcow2_bitmap_entry_is_valid(&modify->qcow2->header, entry)) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name, "the table of a bitmap is damaged");
    }
    *ret_off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
    return true;
}

/* Bits of the last cluster behind the disk's end. */
static bool clear_tail(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t table_off,
                       uint64_t new_len, struct error *error)
{
    uint64_t count = entry_count(modify, bitmap, new_len);
    uint64_t bits_before = (count - 1) * ((uint64_t)modify->cluster_len * 8);
    uint64_t bits = qcow2_bitmap_bit_count(new_len, bitmap->granularity_bits) - bits_before;
    uint64_t off;
    RETURN_IF_FAILED(entry_read(modify, table_off, count - 1, &off, error));
    if (off == 0 || bits == (uint64_t)modify->cluster_len * 8) {
        return true;
    }
    uint64_t references;
    bool is_known;
    RETURN_IF_FAILED(
        qcow2_refcount_of(modify->image, off >> modify->qcow2->header.cluster_bits, &references, &is_known, error));
    if (!is_known || references != 1) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "the data of a bitmap at %#llx is not counted as its own", (unsigned long long)off);
    }
    RETURN_IF_FAILED(target_settle(&modify->target, error)); /* nobody has the bounce memory any more */
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, off, modify->bounce,
                                modify->cluster_len, error));
    qcow2_bits_cut(modify->bounce, modify->cluster_len, bits);
    return qcow2_modify_write(modify, off, modify->bounce, modify->cluster_len, 0, error);
}

/* A table for the new length. */
static bool make_table(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t count,
                       uint64_t *ret_off, struct error *error)
{
    uint64_t kept = min_u64(count, bitmap->table_entry_count);
    uint64_t len = round_up(count * sizeof(struct be64), modify->cluster_len);
    RETURN_IF_FAILED(qcow2_modify_take_run(modify, len >> modify->qcow2->header.cluster_bits, ret_off, error));
    RETURN_IF_FAILED(
        qcow2_modify_copy_table(modify, *ret_off, len, bitmap->table_off, kept * sizeof(struct be64), error));
    qcow2_overlap_add(&modify->overlap, QCOW2_AREA_BITMAP_TABLE, *ret_off, len);
    return true;
}

/* The old table, and what only it leads to. */
static bool release_table(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t kept,
                          struct error *error)
{
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error)); /* makes room for releases */
    RETURN_IF_FAILED(
        qcow2_modify_release(modify, bitmap->table_off, bitmap->table_entry_count * sizeof(struct be64), 0, error));
    for (uint64_t i = kept; i < bitmap->table_entry_count; i++) {
        uint64_t off;
        RETURN_IF_FAILED(entry_read(modify, bitmap->table_off, i, &off, error));
        if (off != 0) {
            RETURN_IF_FAILED(qcow2_modify_release(modify, off, modify->cluster_len, 0, error));
        }
        if (!qcow2_releases_have_room(&modify->releases, 1)) {
            RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
        }
    }
    return qcow2_modify_checkpoint(modify, error);
}

/* One that was marked: others that are in use have led to a refusal. */
static bool end_one(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, uint64_t off, uint64_t new_len,
                    struct error *error)
{
    uint64_t count = entry_count(modify, bitmap, new_len);
    uint64_t table_off = bitmap->table_off;
    if ((bitmap->flags & QCOW2_BITMAP_IN_USE) == 0) {
        return true;
    }
    if (count != bitmap->table_entry_count) {
        RETURN_IF_FAILED(make_table(modify, bitmap, count, &table_off, error));
    }
    RETURN_IF_FAILED(clear_tail(modify, bitmap, table_off, new_len, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    struct {
        struct be64 table_offset;
        struct be32 table_size;
        struct be32 flags;
    } words = {be64_make(table_off), be32_make((uint32_t)count), be32_make(bitmap->flags & ~QCOW2_BITMAP_IN_USE)};
    _Static_assert(sizeof(words) == QCOW2_BITMAP_FLAGS_POS + sizeof(struct be32), "as in the directory");
    RETURN_IF_FAILED(qcow2_modify_store(modify, off, &words, sizeof(words), QCOW2_AREA_BITMAP_DIRECTORY, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    return table_off == bitmap->table_off || release_table(modify, bitmap, count, error);
}

bool qcow2_resize_bitmaps_end(struct qcow2_modify *modify, uint64_t new_len, struct error *error)
{
    return for_each(modify, new_len, end_one, error);
}
