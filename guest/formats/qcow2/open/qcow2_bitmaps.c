/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/detail.h"

/* Entries of tables that opening an image looks at, of all its bitmaps: 8 MiB, a bitmap of 512 GiB at the least. */
#define CHECKED_ENTRIES_MAX (1u << 20)

/* Whether QEMU would accept the entry. Of one that is in use, nobody knows how long the disk was. */
static bool bitmap_is_valid(const struct image *image, const struct qcow2_bitmap *bitmap)
{
    uint32_t cluster_len = image->cluster_len;
    if (bitmap->table_entry_count == 0 || bitmap->table_off == 0 || bitmap->table_off % cluster_len != 0 ||
        bitmap->granularity_bits < QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
        bitmap->granularity_bits > QCOW2_BITMAP_GRANULARITY_BITS_MAX ||
        (bitmap->flags & QCOW2_BITMAP_RESERVED_FLAGS) != 0) {
        return false;
    }
    uint64_t bitmap_len = (uint64_t)bitmap->table_entry_count * cluster_len;
    if (bitmap_len > QCOW2_BITMAP_LEN_MAX) {
        return false;
    }
    return (bitmap->flags & QCOW2_BITMAP_IN_USE) != 0 ||
           image->virtual_len <= (bitmap_len * 8) << bitmap->granularity_bits; /* 63 bits at most */
}

static bool read_entry(struct image *image, const struct qcow2_bitmap_walk *walk, struct qcow2_bitmap *bitmap,
                       uint64_t *ret_entry_len, struct error *error)
{
    const struct qcow2_extensions *extensions = &qcow2_of(image)->extensions;
    struct cache *cache = image->environment->cache;
    uint64_t left = extensions->bitmap_directory_len - walk->pos;
    uint64_t off = extensions->bitmap_directory_off + walk->pos;
    struct qcow2_bitmap_disk disk;
    if (left < sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Broken bitmap directory");
    }
    if (walk->index >= extensions->bitmap_count) {
        return error_set(error, ERROR_MALFORMED, NULL, "More bitmaps found than specified in header extension");
    }
    RETURN_IF_FAILED(cache_read(cache, image->file, off, &disk, sizeof(disk), error));
    uint64_t entry_len =
        round_up(sizeof(disk) + (uint64_t)be16_get(disk.name_size) + be32_get(disk.extra_data_size), 8);
    if (entry_len > left) {
        return error_set(error, ERROR_MALFORMED, NULL, "Broken bitmap directory");
    }
    if (be32_get(disk.extra_data_size) != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Bitmap extra data is not supported");
    }
    *bitmap = (struct qcow2_bitmap){
        .table_off = be64_get(disk.table_offset),
        .table_entry_count = be32_get(disk.table_size),
        .flags = be32_get(disk.flags),
        .granularity_bits = disk.granularity_bits,
        .name_len = (uint16_t)min_u64(be16_get(disk.name_size), sizeof(bitmap->name)),
    };
    RETURN_IF_FAILED(cache_read(cache, image->file, off + sizeof(disk), bitmap->name, bitmap->name_len, error));
    if (be16_get(disk.name_size) > sizeof(bitmap->name) || disk.type != QCOW2_BITMAP_DIRTY_TRACKING ||
        !bitmap_is_valid(image, bitmap)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Bitmap '%.*s' doesn't satisfy the constraints",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    *ret_entry_len = entry_len;
    return true;
}

bool qcow2_bitmap_next(struct image *image, struct qcow2_bitmap_walk *walk, bool *ret_is_end,
                       struct qcow2_bitmap *ret_bitmap, struct error *error)
{
    const struct qcow2_extensions *extensions = &qcow2_of(image)->extensions;
    uint64_t entry_len;
    if (extensions->bitmap_directory_len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Requested bitmap directory size is zero");
    }
    if (!range_is_within(extensions->bitmap_directory_off, extensions->bitmap_directory_len, QCOW2_LEN_MAX)) {
        return error_set(error, ERROR_IO, NULL, "Failed to read bitmap directory: Input/output error");
    }
    *ret_is_end = walk->pos == extensions->bitmap_directory_len;
    if (*ret_is_end) {
        return walk->index == extensions->bitmap_count ||
               error_set(error, ERROR_MALFORMED, NULL, "Less bitmaps found than specified in header extension");
    }
    RETURN_IF_FAILED(read_entry(image, walk, ret_bitmap, &entry_len, error));
    walk->pos += entry_len;
    walk->index++;
    return true;
}

bool qcow2_bitmap_entry_is_valid(const struct qcow2_header *header, uint64_t entry)
{
    uint64_t off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
    return (entry & QCOW2_BITMAP_ENTRY_RESERVED_MASK) == 0 && off % header->cluster_len == 0 &&
           (off == 0 || (entry & QCOW2_BITMAP_ENTRY_ALL_ONES) == 0);
}

uint64_t qcow2_bitmap_bit_count(uint64_t virtual_len, uint32_t granularity_bits)
{
    return (virtual_len >> granularity_bits) + ((virtual_len & ((1ull << granularity_bits) - 1)) != 0);
}

uint64_t qcow2_bitmap_entry_count(uint64_t virtual_len, uint32_t granularity_bits, uint32_t cluster_len)
{
    uint64_t len = round_up(qcow2_bitmap_bit_count(virtual_len, granularity_bits), 64) / 8;
    return divide_up(len, cluster_len);
}

bool qcow2_bitmap_is_of_disk(const struct image *image, const struct qcow2_bitmap *bitmap)
{
    return (bitmap->flags & QCOW2_BITMAP_IN_USE) != 0 ||
           qcow2_bitmap_entry_count(image->virtual_len, bitmap->granularity_bits, image->cluster_len) ==
               bitmap->table_entry_count;
}

static bool check_table(struct image *image, const struct qcow2_bitmap *bitmap, uint32_t count, struct error *error)
{
    if (!range_is_within(bitmap->table_off, (uint64_t)bitmap->table_entry_count * 8, QCOW2_LEN_MAX)) {
        return error_set(error, ERROR_IO, NULL,
                         "Could not read bitmap_table table from image for bitmap '%.*s': Input/output error",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t entry;
        RETURN_IF_FAILED(cache_read_be64(image->environment->cache, image->file, bitmap->table_off + (uint64_t)i * 8,
                                         &entry, error));
        if (!qcow2_bitmap_entry_is_valid(&qcow2_of(image)->header, entry)) {
            return error_set(error, ERROR_MALFORMED, NULL,
                             "Could not read bitmap_table table from image for bitmap '%.*s': Invalid argument",
                             bitmap->name_len, (const char *)bitmap->name);
        }
    }
    if (!qcow2_bitmap_is_of_disk(image, bitmap)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Could not read bitmap '%.*s' from image: Invalid argument",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    return true;
}

bool qcow2_bitmaps_check(struct image *image, struct error *error)
{
    struct qcow2_bitmap_walk walk = {0};
    struct qcow2_bitmap bitmap;
    uint32_t left = CHECKED_ENTRIES_MAX;
    while (qcow2_of(image)->extensions.bitmap_count > 0) { /* ends: after bitmap_count entries at the latest */
        bool is_end;
        RETURN_IF_FAILED(qcow2_bitmap_next(image, &walk, &is_end, &bitmap, error));
        if (is_end) {
            break;
        }
        if ((bitmap.flags & QCOW2_BITMAP_IN_USE) == 0) {
            uint32_t count = (uint32_t)min_u64(bitmap.table_entry_count, left);
            left -= count;
            RETURN_IF_FAILED(check_table(image, &bitmap, count, error));
        }
    }
    return true;
}

bool qcow2_bitmaps_describe(struct image *image, struct error *error)
{
    struct qcow2_bitmap_walk walk = {0};
    struct qcow2_bitmap bitmap;
    if (qcow2_of(image)->extensions.bitmap_count == 0) {
        return true;
    }
    detail_list("bitmaps");
    for (;;) { /* ends: as above */
        bool is_end;
        RETURN_IF_FAILED(qcow2_bitmap_next(image, &walk, &is_end, &bitmap, error));
        if (is_end) {
            break;
        }
        detail_object(NULL);
        detail_list("flags");
        if ((bitmap.flags & QCOW2_BITMAP_IN_USE) != 0) {
            detail_word(NULL, "in-use");
        }
        if ((bitmap.flags & QCOW2_BITMAP_AUTO) != 0) {
            detail_word(NULL, "auto");
        }
        detail_end();
        detail_text("name", (struct span){bitmap.name, bitmap.name_len});
        detail_number("granularity", (int64_t)1 << bitmap.granularity_bits);
        detail_end();
    }
    detail_end();
    return true;
}

bool qcow2_image_bitmap_next(struct image *image, struct image_bitmap_walk *walk, bool *ret_is_end,
                             struct image_bitmap *ret_bitmap, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk own_walk = {.index = walk->index, .pos = walk->pos};
    *ret_is_end = true;
    if (qcow2_of(image)->extensions.bitmap_count == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_bitmap_next(image, &own_walk, ret_is_end, &bitmap, error));
    *walk = (struct image_bitmap_walk){.index = own_walk.index, .pos = own_walk.pos};
    if (!*ret_is_end) {
        *ret_bitmap = (struct image_bitmap){
            .granularity_bits = bitmap.granularity_bits,
            .is_enabled = (bitmap.flags & QCOW2_BITMAP_AUTO) != 0,
            .is_inconsistent = (bitmap.flags & QCOW2_BITMAP_IN_USE) != 0,
            .name_len = bitmap.name_len,
            .table_off = bitmap.table_off,
            .table_entry_count = bitmap.table_entry_count,
        };
        memcpy(ret_bitmap->name, bitmap.name, bitmap.name_len);
    }
    return true;
}

/* The part of one cluster of a bitmap's data. */
static bool read_part(struct image *image, const struct image_bitmap *bitmap, uint64_t off, uint8_t *target,
                      uint32_t len, struct error *error)
{
    uint64_t index = off / image->cluster_len;
    uint64_t entry = 0; /* behind the end: zeros */
    if (index < bitmap->table_entry_count) {
        RETURN_IF_FAILED(cache_read_be64(image->environment->cache, image->file,
                                         bitmap->table_off + index * sizeof(struct be64), &entry, error));
    }
    if (!qcow2_bitmap_entry_is_valid(&qcow2_of(image)->header, entry)) {
        return error_set(error, ERROR_MALFORMED, image->file->name, "the table of bitmap '%.*s' is damaged",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    uint64_t data_off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
    if (data_off == 0) {
        memset(target, (entry & QCOW2_BITMAP_ENTRY_ALL_ONES) != 0 ? 0xff : 0, len);
        return true;
    }
    return cache_read(image->environment->cache, image->file, data_off + off % image->cluster_len, target, len, error);
}

bool qcow2_image_bitmap_read(struct image *image, const struct image_bitmap *bitmap, uint64_t off, uint8_t *target,
                             uint32_t len, struct error *error)
{
    while (len > 0) { /* ends: each round goes on to the next cluster of the data */
        uint32_t part_len = (uint32_t)min_u64(len, image->cluster_len - off % image->cluster_len);
        RETURN_IF_FAILED(read_part(image, bitmap, off, target, part_len, error));
        off += part_len;
        target += part_len;
        len -= part_len;
    }
    return true;
}
