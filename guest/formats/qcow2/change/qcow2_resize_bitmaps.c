/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps of a disk that gets another length: they keep their bits, and have none behind its end. */
#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/layout/qcow2_bits.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

struct resized {
    struct qcow2_modify *modify;
    const struct qcow2_bitmap *bitmap;
    uint64_t off;           /* of its entry of the directory */
    uint64_t new_len;       /* of the disk */
    uint64_t entry_count;   /* of its table, as it will be */
    uint64_t new_table_off; /* where that is, if it is another one */
};

static bool gets_table(const struct resized *resized)
{
    return resized->entry_count != resized->bitmap->table_entry_count;
}

static uint64_t table_len(const struct resized *resized)
{
    return round_up(resized->entry_count * sizeof(struct be64), resized->modify->cluster_len);
}

/* Calls `visit` for each bitmap. Their new tables follow each other, in the directory's order. */
static bool for_each(struct qcow2_resize_bitmaps *bitmaps, bool (*visit)(struct resized *resized, struct error *error),
                     struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_modify *modify = bitmaps->modify;
    const struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    struct qcow2_bitmap_walk walk = {0};
    uint64_t tables_len = 0;
    bool is_end = extensions->bitmap_count == 0;
    while (!is_end) { /* ends: the directory has bitmap_count entries */
        struct resized resized = {
            .modify = modify,
            .bitmap = &bitmap,
            .off = extensions->bitmap_directory_off + walk.pos,
            .new_len = bitmaps->new_len,
            .new_table_off = bitmaps->tables_off + tables_len,
        };
        RETURN_IF_FAILED(qcow2_bitmap_next(modify->image, &walk, &is_end, &bitmap, error));
        if (is_end) {
            break;
        }
        resized.entry_count = qcow2_bitmap_entry_count(bitmaps->new_len, bitmap.granularity_bits, modify->cluster_len);
        tables_len += gets_table(&resized) ? table_len(&resized) : 0;
        RETURN_IF_FAILED(visit(&resized, error));
    }
    bitmaps->tables_len = tables_len;
    return true;
}

static bool check_one(struct resized *resized, struct error *error)
{
    const struct qcow2_bitmap *bitmap = resized->bitmap;
    if ((bitmap->flags & QCOW2_BITMAP_IN_USE) != 0) {
        return qcow2_refuse_inconsistent(bitmap->name, bitmap->name_len, error);
    }
    return resized->entry_count * resized->modify->cluster_len <= QCOW2_BITMAP_LEN_MAX ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "Bitmap '%.*s' would become too long", bitmap->name_len,
                     (const char *)bitmap->name);
}

static bool make_table(struct resized *resized, struct error *error)
{
    struct qcow2_modify *modify = resized->modify;
    uint64_t kept = min_u64(resized->entry_count, resized->bitmap->table_entry_count);
    if (!gets_table(resized)) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_copy_table(modify, resized->new_table_off, table_len(resized),
                                             resized->bitmap->table_off, kept * sizeof(struct be64), error));
    qcow2_overlap_add(&modify->overlap, QCOW2_AREA_BITMAP_TABLE, resized->new_table_off, table_len(resized));
    return true;
}

static bool store_flags(struct resized *resized, uint32_t flags, struct error *error)
{
    struct be32 word = be32_make(flags);
    return qcow2_modify_store(resized->modify, resized->off + QCOW2_BITMAP_FLAGS_POS, &word, sizeof(word),
                              QCOW2_AREA_BITMAP_DIRECTORY, error);
}

static bool mark_one(struct resized *resized, struct error *error)
{
    bool gets_shorter = resized->new_len < resized->modify->image->virtual_len;
    return (!gets_shorter && !gets_table(resized)) ||
           store_flags(resized, resized->bitmap->flags | QCOW2_BITMAP_IN_USE, error);
}

bool qcow2_resize_bitmaps_begin(struct qcow2_modify *modify, uint64_t new_len, struct qcow2_resize_bitmaps *ret_bitmaps,
                                struct error *error)
{
    struct qcow2_resize_bitmaps *bitmaps = ret_bitmaps;
    *bitmaps = (struct qcow2_resize_bitmaps){.modify = modify, .new_len = new_len};
    if (modify->qcow2->extensions.bitmap_count == 0) {
        return true;
    }
    RETURN_IF_FAILED(for_each(bitmaps, check_one, error));
    if (bitmaps->tables_len > 0) {
        uint64_t clusters = bitmaps->tables_len >> modify->qcow2->header.cluster_bits;
        RETURN_IF_FAILED(qcow2_modify_take_loose(modify, clusters, &bitmaps->tables_off, error));
        RETURN_IF_FAILED(for_each(bitmaps, make_table, error));
    }
    bitmaps->has_marked = true;
    return for_each(bitmaps, mark_one, error) && qcow2_modify_flush(modify, error);
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
static bool clear_tail(struct resized *resized, uint64_t table_off, struct error *error)
{
    struct qcow2_modify *modify = resized->modify;
    uint64_t count = resized->entry_count;
    uint64_t bits_before = (count - 1) * ((uint64_t)modify->cluster_len * 8);
    uint64_t bits = qcow2_bitmap_bit_count(resized->new_len, resized->bitmap->granularity_bits) - bits_before;
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
    RETURN_IF_FAILED(target_settle(&modify->target, error)); /* no write uses the bounce memory any more */
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, off, modify->bounce,
                                modify->cluster_len, error));
    qcow2_bits_cut(modify->bounce, modify->cluster_len, bits);
    return qcow2_modify_write(modify, off, modify->bounce, modify->cluster_len, 0, error);
}

/* The old table, and what only it leads to. */
static bool release_table(struct resized *resized, struct error *error)
{
    struct qcow2_modify *modify = resized->modify;
    const struct qcow2_bitmap *bitmap = resized->bitmap;
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error)); /* makes room for releases */
    RETURN_IF_FAILED(
        qcow2_modify_release(modify, bitmap->table_off, bitmap->table_entry_count * sizeof(struct be64), 0, error));
    for (uint64_t i = resized->entry_count; i < bitmap->table_entry_count; i++) {
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
static bool end_one(struct resized *resized, struct error *error)
{
    struct qcow2_modify *modify = resized->modify;
    const struct qcow2_bitmap *bitmap = resized->bitmap;
    uint64_t table_off = gets_table(resized) ? resized->new_table_off : bitmap->table_off;
    if ((bitmap->flags & QCOW2_BITMAP_IN_USE) == 0) {
        return true;
    }
    RETURN_IF_FAILED(clear_tail(resized, table_off, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    struct {
        struct be64 table_offset;
        struct be32 table_size;
        struct be32 flags;
    } words = {be64_make(table_off), be32_make((uint32_t)resized->entry_count),
               be32_make(bitmap->flags & ~QCOW2_BITMAP_IN_USE)};
    _Static_assert(sizeof(words) == QCOW2_BITMAP_FLAGS_POS + sizeof(struct be32), "as in the directory");
    RETURN_IF_FAILED(
        qcow2_modify_store(modify, resized->off, &words, sizeof(words), QCOW2_AREA_BITMAP_DIRECTORY, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    return table_off == bitmap->table_off || release_table(resized, error);
}

bool qcow2_resize_bitmaps_end(struct qcow2_resize_bitmaps *bitmaps, struct error *error)
{
    struct qcow2_modify *modify = bitmaps->modify;
    qcow2_modify_tie(modify, bitmaps->tables_off, bitmaps->tables_len >> modify->qcow2->header.cluster_bits);
    return for_each(bitmaps, end_one, error);
}

static bool undo_one(struct resized *resized, struct error *error)
{
    uint32_t flags = resized->bitmap->flags;
    return (flags & QCOW2_BITMAP_IN_USE) == 0 || store_flags(resized, flags & ~QCOW2_BITMAP_IN_USE, error);
}

void qcow2_resize_bitmaps_undo(struct qcow2_resize_bitmaps *bitmaps)
{
    struct error ignored = {0}; /* the one that there was is the one to tell */
    bool is_done = !bitmaps->has_marked || bitmaps->is_disk_other || for_each(bitmaps, undo_one, &ignored);
    (void)is_done;
}
