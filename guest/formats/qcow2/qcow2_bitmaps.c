/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/qcow2_bitmaps.h"

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/detail.h"

#define TYPE_DIRTY_TRACKING 1u

/* Entries of tables that opening an image looks at, of all its bitmaps: 8 MiB, a bitmap of 512 GiB at the least. */
#define CHECKED_ENTRIES_MAX (1u << 20)

struct bitmap_disk {
    struct be64 table_offset;
    struct be32 table_size;
    struct be32 flags;
    uint8_t type;
    uint8_t granularity_bits;
    struct be16 name_size;
    struct be32 extra_data_size;
};

_Static_assert(sizeof(struct bitmap_disk) == 24, "section Bitmap directory");

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
    struct bitmap_disk disk;
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
    if (be16_get(disk.name_size) > sizeof(bitmap->name) || disk.type != TYPE_DIRTY_TRACKING ||
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

/* How many entries the table of a bitmap of the disk has. Bits are stored in words of 64. */
static uint64_t expected_entry_count(const struct image *image, const struct qcow2_bitmap *bitmap)
{
    uint64_t granularity = 1ull << bitmap->granularity_bits;
    uint64_t bit_count = round_up(image->virtual_len, granularity) >> bitmap->granularity_bits;
    uint64_t len = round_up(bit_count, 64) / 8;
    return round_up(len, image->cluster_len) / image->cluster_len;
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
    if (expected_entry_count(image, bitmap) != bitmap->table_entry_count) {
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
