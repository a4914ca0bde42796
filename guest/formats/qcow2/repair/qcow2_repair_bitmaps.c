/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps that cannot be read, without which the rest of the image is as good as before. */
#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/repair/qcow2_repair.h"

static bool check_table(struct image *image, const struct qcow2_bitmap *bitmap, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint64_t file_len = image->file->len;
    if (!range_is_within(bitmap->table_off, bitmap->table_entry_count * 8ull, FILE_END_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the table of bitmap '%.*s' cannot be read", bitmap->name_len,
                         (const char *)bitmap->name);
    }
    /* Ends: a table has as many entries as a cluster of QCOW2_BITMAP_LEN_MAX; behind the file's end there are zeros. */
    for (uint64_t i = 0; i < bitmap->table_entry_count && bitmap->table_off + i * 8 < file_len;) {
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, bitmap->table_off + i * 8,
                                    (bitmap->table_entry_count - i) * 8ull, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            if (!qcow2_bitmap_entry_is_valid(header, be64_get(word))) {
                return error_set(error, ERROR_MALFORMED, NULL, "an entry of the table of bitmap '%.*s' is invalid",
                                 bitmap->name_len, (const char *)bitmap->name);
            }
        }
        i += view.len / sizeof(word);
    }
    return qcow2_bitmap_is_of_disk(image, bitmap) ||
           error_set(error, ERROR_MALFORMED, NULL, "bitmap '%.*s' is of a disk of another length", bitmap->name_len,
                     (const char *)bitmap->name);
}

static bool check_bitmaps(struct image *image, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    const struct qcow2_extensions *extensions = &qcow2_of(image)->extensions;
    struct qcow2_bitmap_walk walk = {0};
    if (!range_is_within(extensions->bitmap_directory_off, extensions->bitmap_directory_len, QCOW2_LEN_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "it cannot be read");
    }
    for (;;) { /* ends: after bitmap_count entries at the latest */
        bool is_end;
        RETURN_IF_FAILED(qcow2_bitmap_next(image, &walk, &is_end, &bitmap, error));
        if (is_end) {
            return true;
        }
        RETURN_IF_FAILED(check_table(image, &bitmap, error));
    }
}

bool qcow2_repair_bitmaps(struct qcow2_repair *repair, struct error *error)
{
    struct qcow2_check *check = &repair->check;
    struct qcow2_extensions *extensions = &repair->qcow2->extensions;
    struct qcow2_header *header = &repair->qcow2->header;
    struct error problem = {0};
    if (extensions->bitmap_count == 0 || check_bitmaps(check->image, &problem)) {
        return true;
    }
    if (problem.kind != ERROR_MALFORMED && problem.kind != ERROR_UNSUPPORTED) { /* the file, not what is in it */
        *error = problem;
        return false;
    }
    check_finding(&check->findings, "Repairing bitmap directory: %s; all bitmaps are dropped", problem.detail);
    check->result->corruptions_fixed++;
    header->autoclear_features &= ~QCOW2_AUTOCLEAR_BITMAPS;
    extensions->bitmap_count = 0;
    extensions->bitmap_directory_len = 0;
    /* Nobody reads the extension without that bit, so its clusters are free from now on. */
    return qcow2_repair_store_be64(repair, QCOW2_HEADER_OFF(autoclear_features), header->autoclear_features, error) &&
           qcow2_repair_flush(repair, error);
}
