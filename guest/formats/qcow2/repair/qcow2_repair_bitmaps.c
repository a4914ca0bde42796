/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps that cannot be read, without which the rest of the image is as good as before. */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/repair/qcow2_repair.h"

/* Bytes of it, with extensions, that are looked at. */
#define HEADER_LEN_MAX 4096u

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

/* One pass over the extensions within `bytes`, up to `end`; what is not about bitmaps moves to the front if `moves`. */
static bool pass_extensions(uint8_t *bytes, uint32_t start, uint32_t end, bool moves, uint32_t *ret_kept,
                            uint32_t *ret_end)
{
    struct qcow2_extension_disk head;
    uint32_t kept = start;
    uint32_t off = start;
    bool is_end = false;
    while (off < end && end - off >= sizeof(head)) { /* ends: each round goes on by 8 bytes */
        memcpy(&head, bytes + off, sizeof(head));
        uint64_t next = round_up(off + sizeof(head) + (uint64_t)be32_get(head.len), 8);
        is_end = be32_get(head.type) == QCOW2_EXTENSION_END;
        if (is_end || next > end) {
            break;
        }
        if (be32_get(head.type) != QCOW2_EXTENSION_BITMAPS) {
            if (moves) {
                memmove(bytes + kept, bytes + off, next - off);
            }
            kept += (uint32_t)(next - off);
        }
        off = (uint32_t)next;
    }
    *ret_kept = kept;
    *ret_end = off;
    return is_end;
}

/*
 * The header without bitmaps, by one write: the feature's bit, and the extension, of which QEMU would warn whenever it
 * opens the image. It stays where the list of extensions is longer than usual, or does not end.
 */
static bool write_header(struct qcow2_repair *repair, struct error *error)
{
    struct image *image = repair->check.image;
    const struct qcow2_header *header = &repair->qcow2->header;
    uint32_t len = (uint32_t)min_u64(HEADER_LEN_MAX, header->cluster_len);
    uint32_t end = (uint32_t)min_u64(header->backing_name_off != 0 ? header->backing_name_off : len, len);
    uint32_t kept;
    uint32_t changed_end;
    uint8_t *bytes = arena_allocate(image->environment->arena, HEADER_LEN_MAX, HEADER_LEN_MAX);
    if (bytes == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, bytes, len, error));
    struct be64 features = be64_make(header->autoclear_features);
    memcpy(bytes + QCOW2_HEADER_OFF(autoclear_features), &features, sizeof(features));
    uint32_t write_end = header->header_len;
    if (pass_extensions(bytes, header->header_len, end, false, &kept, &changed_end)) {
        (void)pass_extensions(bytes, header->header_len, end, true, &kept, &changed_end);
        memset(bytes + kept, 0, changed_end - kept); /* the first zeros end the list */
        write_end = changed_end;
    }
    return qcow2_repair_write(repair, 0, bytes, round_up(min_u64(write_end, len), SECTOR_LEN), error) &&
           qcow2_repair_flush(repair, error);
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
    /* Its clusters are free from now on. */
    return write_header(repair, error);
}
