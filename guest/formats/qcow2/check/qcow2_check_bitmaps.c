/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps: the directory, and the table and the data of each bitmap. */
#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"

static bool count_entry(struct qcow2_check *check, uint64_t entry, struct error *error)
{
    uint64_t off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
    if (!qcow2_bitmap_entry_is_valid(check->header, entry)) {
        return check_failed(error, "Invalid argument");
    }
    return off == 0 || qcow2_check_count_range(check, off, check->header->cluster_len, error);
}

static bool count_bitmap(struct qcow2_check *check, const struct qcow2_bitmap *bitmap, struct error *error)
{
    uint64_t table_len = bitmap->table_entry_count * sizeof(struct be64);
    RETURN_IF_FAILED(qcow2_check_count_range(check, bitmap->table_off, table_len, error));
    /* Behind the file's end there are zeros: they lead nowhere. */
    uint64_t file_len = check->image->file->len;
    table_len = bitmap->table_off < file_len ? min_u64(table_len, file_len - bitmap->table_off) : 0;
    struct be64 *entries = (struct be64 *)(void *)check->buffer;
    uint64_t part_len;
    for (uint64_t off = 0; off < table_len; off += part_len) {
        part_len = min_u64(table_len - off, check->buffer_len);
        uint64_t entry_count = (part_len + sizeof(*entries) - 1) / sizeof(*entries); /* the last one may be cut */
        RETURN_IF_FAILED(file_read(check->image->file, bitmap->table_off + off, entries,
                                   (size_t)(entry_count * sizeof(*entries)), error));
        for (uint64_t i = 0; i < entry_count; i++) {
            RETURN_IF_FAILED(count_entry(check, be64_get(entries[i]), error));
        }
    }
    return true;
}

/* Calls count_bitmap for all bitmaps, or for none: whether the directory is sound is seen at its end. */
static bool walk_directory(struct qcow2_check *check, bool is_counting, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk walk = {0};
    for (;;) { /* ends: after bitmap_count entries at the latest */
        bool is_end;
        RETURN_IF_FAILED(qcow2_bitmap_next(check->image, &walk, &is_end, &bitmap, error));
        if (is_end) {
            return true;
        }
        if (is_counting) {
            RETURN_IF_FAILED(count_bitmap(check, &bitmap, error));
        }
    }
}

bool qcow2_check_count_bitmaps(struct qcow2_check *check, struct error *error)
{
    const struct qcow2_extensions *extensions = check->extensions;
    if (extensions->bitmap_count == 0) {
        return true;
    }
    RETURN_IF_FAILED(
        qcow2_check_count_range(check, extensions->bitmap_directory_off, extensions->bitmap_directory_len, error));
    RETURN_IF_FAILED(walk_directory(check, false, error));
    return walk_directory(check, true, error);
}
