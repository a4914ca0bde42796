/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format extension: a cluster of features, under a checksum. The only one that is known, dirty bitmaps, says
 * nothing about the disk's content; QEMU reads no image whose extension is damaged, and neither do we.
 */
#include "base/checked.h"
#include "base/endian.h"
#include "guest/crypto/md5.h"
#include "guest/formats/parallels/parallels.h"

#define EXTENSION_MAGIC 0xab234cef23dcea87ull
#define FEATURE_END 0ull
#define FEATURE_DIRTY_BITMAP 0x20385fae252cb34aull
#define ENTRY_LEN 8u

struct extension_disk {
    struct le64 magic;
    uint8_t checksum[MD5_LEN];
};

struct feature_disk {
    struct le64 magic;
    struct le64 flags;
    struct le32 data_size;
    struct le32 unused;
};

struct bitmap_disk {
    struct le64 size; /* sectors of the disk */
    uint8_t id[16];
    struct le32 granularity; /* sectors */
    struct le32 l1_size;     /* entries of the table that follows */
};

/* What is left of the extension's cluster. */
struct rest {
    struct image *image;
    uint64_t off; /* bytes in the file */
    uint64_t len;
};

/* Takes `len` bytes off; the caller has seen that they are there. */
static bool take(struct rest *rest, void *target, size_t len, struct error *error)
{
    RETURN_IF_FAILED(cache_read(rest->image->environment->cache, rest->image->file, rest->off, target, len, error));
    rest->off += len;
    rest->len -= len;
    return true;
}

static bool check_checksum(struct rest rest, const uint8_t expected[MD5_LEN], struct error *error)
{
    struct md5 md5;
    uint8_t digest[MD5_LEN];
    md5_init(&md5);
    while (rest.len > 0) { /* ends: a view has a byte at least */
        struct span view;
        RETURN_IF_FAILED(
            cache_view(rest.image->environment->cache, rest.image->file, rest.off, rest.len, &view, error));
        md5_add(&md5, view);
        rest.off += view.len;
        rest.len -= view.len;
    }
    md5_end(&md5, digest);
    return memcmp(digest, expected, MD5_LEN) == 0 ||
           error_set(error, ERROR_MALFORMED, NULL,
                     "Wrong checksum in Format Extension header. Format extension is corrupted.");
}

/* The bitmap's words are 64 bits, and a cluster has them as they are. */
static bool check_table(const struct image *image, uint32_t l1_count, uint64_t granularity, struct error *error)
{
    uint64_t bits = divide_up(image->virtual_len, granularity);
    uint64_t expected = divide_up(divide_up(bits, 64) * 8, parallels_of(image)->header.cluster_len);
    return l1_count == expected ||
           error_set(error, ERROR_MALFORMED, NULL,
                     "Bitmap table size %u does not correspond to bitmap size and cluster size. Expected %llu",
                     l1_count, (unsigned long long)expected);
}

/* `rest` is what the bitmap's feature has. */
static bool check_bitmap(struct rest rest, struct error *error)
{
    struct bitmap_disk disk;
    const struct image *image = rest.image;
    if (rest.len < sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Too small Bitmap Feature area in Parallels Format Extension: %llu bytes, expected at least "
                         "%zu bytes",
                         (unsigned long long)rest.len, sizeof(disk));
    }
    RETURN_IF_FAILED(take(&rest, &disk, sizeof(disk), error));
    uint64_t sectors = le64_get(disk.size);
    uint64_t granularity = (uint64_t)le32_get(disk.granularity) * PARALLELS_SECTOR_LEN;
    uint32_t l1_count = le32_get(disk.l1_size);
    if (sectors != image->virtual_len / PARALLELS_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Bitmap size (in sectors) %lld differs from disk size in sectors %lld", (long long)sectors,
                         (long long)(image->virtual_len / PARALLELS_SECTOR_LEN));
    }
    if (!is_power_of_two(granularity) || granularity > UINT32_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid bitmap granularity %llu",
                         (unsigned long long)granularity);
    }
    if ((uint64_t)l1_count * ENTRY_LEN > rest.len) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Bitmaps feature corrupted: l1 table exceeds extension data_size");
    }
    return check_table(image, l1_count, granularity, error);
}

/* One of the features, with what follows its head. Sets *ret_is_end behind the last one. */
static bool check_feature(struct rest *rest, bool *ret_is_end, struct error *error)
{
    struct feature_disk disk;
    if (rest->len < sizeof(disk)) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Can not read feature header, as remaining bytes (%llu) in Format Extension is less than "
                         "Feature header size (%zu)",
                         (unsigned long long)rest->len, sizeof(disk));
    }
    RETURN_IF_FAILED(take(rest, &disk, sizeof(disk), error));
    uint64_t magic = le64_get(disk.magic);
    uint64_t data_len = le32_get(disk.data_size);
    uint64_t room_len = round_up(data_len, 8);
    if (le64_get(disk.flags) != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Flags for extension feature are unsupported");
    }
    if (room_len > rest->len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Feature data_size exceedes Format Extension cluster");
    }
    *ret_is_end = magic == FEATURE_END;
    if (magic == FEATURE_DIRTY_BITMAP) {
        RETURN_IF_FAILED(check_bitmap((struct rest){rest->image, rest->off, data_len}, error));
    } else if (magic != FEATURE_END) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unknown feature: 0x%llx", (unsigned long long)magic);
    }
    rest->off += room_len;
    rest->len -= room_len;
    return true;
}

bool parallels_extension_check(struct image *image, struct error *error)
{
    const struct parallels_header *header = &parallels_of(image)->header;
    struct rest rest = {image, header->extension_off, header->cluster_len};
    struct extension_disk disk;
    bool is_end = false;
    if (!range_is_within(rest.off, rest.len, INT64_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Failed to read Format Extension cluster: Input/output error");
    }
    RETURN_IF_FAILED(take(&rest, &disk, sizeof(disk), error)); /* a cluster is a sector at least */
    if (le64_get(disk.magic) != EXTENSION_MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "Wrong parallels Format Extension magic: 0x%llx, expected: 0x%llx",
                         (unsigned long long)le64_get(disk.magic), EXTENSION_MAGIC);
    }
    RETURN_IF_FAILED(check_checksum(rest, disk.checksum, error));
    while (!is_end) { /* ends: each feature takes its head off the rest of the cluster */
        RETURN_IF_FAILED(check_feature(&rest, &is_end, error));
    }
    return true;
}
