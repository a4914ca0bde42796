/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/write/qcow2_bitmap_copy.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/zeros.h"

/* Twice as many as there can be bitmaps, a power of two. */
#define NAME_SLOTS (1u << 17)

_Static_assert(NAME_SLOTS >= 2 * QCOW2_BITMAP_COUNT_MAX, "names find a place soon");

/* FNV-1a, 64 bits; never 0. Two names with the same one count as the same: they were made to be, and lead to a refusal.
 */
static uint64_t name_hash(const uint8_t *name, uint16_t len)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (uint16_t i = 0; i < len; i++) {
        hash = (hash ^ name[i]) * 0x100000001b3ull;
    }
    return hash | 1;
}

/* Adds a name to those that there are. False: it was there already. */
static bool name_add(uint64_t *names, uint64_t hash)
{
    uint64_t slot = (hash >> 20) % NAME_SLOTS;
    while (names[slot] != 0) { /* ends: there are fewer names than slots */
        if (names[slot] == hash) {
            return false;
        }
        slot = (slot + 1) % NAME_SLOTS;
    }
    names[slot] = hash;
    return true;
}

/* The names that the image has. They are read to the end, so the directory is sound. */
static bool take_existing(struct qcow2_bitmap_copy *copy, uint64_t *names, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk walk = {0};
    bool is_end = copy->existing == NULL || qcow2_of(copy->existing)->extensions.bitmap_count == 0;
    while (!is_end) { /* ends: after bitmap_count entries at the latest */
        RETURN_IF_FAILED(qcow2_bitmap_next(copy->existing, &walk, &is_end, &bitmap, error));
        if (!is_end) {
            (void)name_add(names, name_hash(bitmap.name, bitmap.name_len));
            copy->count++;
        }
    }
    copy->directory_len = walk.pos;
    return true;
}

static uint64_t divide_up(uint64_t value, uint64_t divisor)
{
    return value / divisor + (value % divisor != 0);
}

static uint64_t table_entry_count(const struct qcow2_bitmap_copy *copy, const struct image_bitmap *bitmap)
{
    return qcow2_bitmap_entry_count(copy->target->virtual_len, bitmap->granularity_bits, copy->cluster_len);
}

static uint64_t table_cluster_count(const struct qcow2_bitmap_copy *copy, const struct image_bitmap *bitmap)
{
    return divide_up(table_entry_count(copy, bitmap), copy->cluster_len / sizeof(struct be64));
}

static uint64_t entry_len(const struct image_bitmap *bitmap)
{
    return round_up(sizeof(struct qcow2_bitmap_disk) + bitmap->name_len, 8);
}

/* What is wrong with one of them, as QEMU has it; NULL: nothing. */
static bool check_one(const struct qcow2_bitmap_copy *copy, const struct image *source,
                      const struct image_bitmap *bitmap, bool is_new_name, struct error *error)
{
    const char *name = (const char *)bitmap->name;
    uint64_t entries = table_entry_count(copy, bitmap);
    if (copy->count > QCOW2_BITMAP_COUNT_MAX || copy->directory_len > QCOW2_BITMAP_DIRECTORY_LEN_MAX) {
        return error_set(
            error, ERROR_UNSUPPORTED, NULL, "Failed to create bitmap %.*s: Can't make bitmap '%.*s' persistent: %s",
            bitmap->name_len, name, bitmap->name_len, name,
            copy->count > QCOW2_BITMAP_COUNT_MAX ? "Maximum number of persistent bitmaps is already reached"
                                                 : "Not enough space in the bitmap directory");
    }
    if (!is_new_name) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Failed to create bitmap %.*s: Bitmap already exists: %.*s",
                         bitmap->name_len, name, bitmap->name_len, name);
    }
    if (copy->existing != NULL && source->virtual_len != copy->target->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Failed to populate bitmap %.*s: Bitmaps are of different sizes (destination size is %llu, "
                         "source size is %llu) and can't be merged",
                         bitmap->name_len, name, (unsigned long long)copy->target->virtual_len,
                         (unsigned long long)source->virtual_len);
    }
    return (entries > 0 && entries * copy->cluster_len <= QCOW2_BITMAP_LEN_MAX) ||
           error_set(error, ERROR_UNSUPPORTED, NULL,
                     "Failed to create bitmap %.*s: Too much space will be occupied by the bitmap. Use larger "
                     "granularity",
                     bitmap->name_len, name);
}

/* QEMU begins with the last one: its error is that of the last one with which something is wrong. */
static bool take_new(struct qcow2_bitmap_copy *copy, struct image *source, uint64_t *names, struct error *error)
{
    static struct image_bitmap bitmap; /* large */
    struct image_bitmap_walk walk = {0};
    bool is_end = false;
    bool success = true;
    while (!is_end) { /* ends: an image has a number of bitmaps */
        RETURN_IF_FAILED(source->format->bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (is_end || bitmap.is_inconsistent) {
            continue;
        }
        copy->count++;
        copy->directory_len += entry_len(&bitmap);
        copy->cluster_count += table_cluster_count(copy, &bitmap) + table_entry_count(copy, &bitmap);
        bool is_new_name =
            copy->count <= QCOW2_BITMAP_COUNT_MAX && name_add(names, name_hash(bitmap.name, bitmap.name_len));
        struct error problem = {0};
        if (!check_one(copy, source, &bitmap, is_new_name, &problem)) {
            *error = problem;
            success = false;
        }
    }
    return success;
}

bool qcow2_bitmap_copy_begin(struct qcow2_bitmap_copy *copy, struct image *source, struct arena *arena,
                             struct error *error)
{
    uint64_t *names = arena_allocate(arena, NAME_SLOTS * sizeof(*names), _Alignof(uint64_t));
    copy->data = arena_allocate(arena, copy->cluster_len, 4096);
    copy->table = arena_allocate(arena, copy->cluster_len, 4096);
    copy->directory = arena_allocate(arena, copy->cluster_len, 4096);
    if (names == NULL || copy->data == NULL || copy->table == NULL || copy->directory == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for bitmaps");
    }
    RETURN_IF_FAILED(take_existing(copy, names, error));
    uint32_t existing_count = copy->count;
    RETURN_IF_FAILED(take_new(copy, source, names, error));
    copy->cluster_count += divide_up(copy->directory_len, copy->cluster_len);
    if (copy->count == existing_count) {
        copy->count = 0;
    }
    return true;
}

/* Reads a cluster of bits from `off` on. Those behind the disk's end are 0. */
static bool read_bits(struct qcow2_bitmap_copy *copy, struct image *source, const struct image_bitmap *bitmap,
                      uint64_t off, struct error *error)
{
    uint64_t bits = qcow2_bitmap_bit_count(copy->target->virtual_len, bitmap->granularity_bits) - off * 8;
    RETURN_IF_FAILED(source->format->bitmap_read(source, bitmap, off, copy->data, copy->cluster_len, error));
    if (bits < (uint64_t)copy->cluster_len * 8) {
        memset(copy->data + (bits + 7) / 8, 0, copy->cluster_len - (bits + 7) / 8);
        copy->data[bits / 8] &= (uint8_t)((1u << bits % 8) - 1); /* a 0 where bits end with a byte */
    }
    return true;
}

static bool write_data(struct qcow2_bitmap_copy *copy, uint64_t *ret_entry, struct error *error)
{
    *ret_entry = 0;
    if (bytes_are_zero((struct span){copy->data, copy->cluster_len})) {
        return true;
    }
    return copy->allocate(copy->target, 1, ret_entry, error) &&
           copy->write(copy->target, *ret_entry, copy->data, copy->cluster_len, error);
}

static bool write_bitmap(struct qcow2_bitmap_copy *copy, struct image *source, const struct image_bitmap *bitmap,
                         uint64_t *ret_table_off, struct error *error)
{
    uint64_t entries_per_cluster = copy->cluster_len / sizeof(struct be64);
    uint64_t entry_count = table_entry_count(copy, bitmap);
    uint64_t table_off;
    RETURN_IF_FAILED(copy->allocate(copy->target, table_cluster_count(copy, bitmap), &table_off, error));
    for (uint64_t first = 0; first < entry_count; first += entries_per_cluster) {
        uint64_t count = min_u64(entry_count - first, entries_per_cluster);
        memset(copy->table, 0, copy->cluster_len);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t entry;
            RETURN_IF_FAILED(read_bits(copy, source, bitmap, (first + i) * copy->cluster_len, error));
            RETURN_IF_FAILED(write_data(copy, &entry, error));
            struct be64 word = be64_make(entry);
            memcpy(copy->table + i * sizeof(word), &word, sizeof(word));
        }
        RETURN_IF_FAILED(copy->write(copy->target, table_off + first * sizeof(struct be64), copy->table,
                                     (uint32_t)(count * sizeof(struct be64)), error));
    }
    *ret_table_off = table_off;
    return true;
}

static bool directory_flush(struct qcow2_bitmap_copy *copy, struct error *error)
{
    uint64_t off = copy->directory_off + (copy->directory_done - 1) / copy->cluster_len * copy->cluster_len;
    RETURN_IF_FAILED(copy->write(copy->target, off, copy->directory, copy->cluster_len, error));
    memset(copy->directory, 0, copy->cluster_len);
    return true;
}

/* Appends to the directory; `len` bytes of zeros for NULL. */
static bool directory_put(struct qcow2_bitmap_copy *copy, const void *bytes, uint64_t len, struct error *error)
{
    const uint8_t *next = bytes;
    while (len > 0) { /* ends: each round appends a byte at least */
        uint64_t pos = copy->directory_done % copy->cluster_len;
        uint64_t part_len = min_u64(len, copy->cluster_len - pos);
        if (next != NULL) {
            memcpy(copy->directory + pos, next, part_len);
            next += part_len;
        }
        copy->directory_done += part_len;
        len -= part_len;
        if (pos + part_len == copy->cluster_len) {
            RETURN_IF_FAILED(directory_flush(copy, error));
        }
    }
    return true;
}

static bool put_existing(struct qcow2_bitmap_copy *copy, struct error *error)
{
    struct image *image = copy->existing;
    uint64_t len = image != NULL ? qcow2_of(image)->extensions.bitmap_directory_len : 0;
    for (uint64_t done = 0; done < len;) { /* ends: each round copies a part */
        uint64_t part_len = min_u64(len - done, copy->cluster_len);
        RETURN_IF_FAILED(cache_read(image->environment->cache, image->file,
                                    qcow2_of(image)->extensions.bitmap_directory_off + done, copy->data,
                                    (size_t)part_len, error));
        RETURN_IF_FAILED(directory_put(copy, copy->data, part_len, error));
        done += part_len;
    }
    return true;
}

/* An entry of the directory; its data are padded to 8 bytes. */
static bool put_entry(struct qcow2_bitmap_copy *copy, const struct image_bitmap *bitmap, uint64_t table_off,
                      struct error *error)
{
    struct qcow2_bitmap_disk disk = {
        .table_offset = be64_make(table_off),
        .table_size = be32_make((uint32_t)table_entry_count(copy, bitmap)),
        .flags = be32_make(bitmap->is_enabled ? QCOW2_BITMAP_AUTO : 0),
        .type = QCOW2_BITMAP_DIRTY_TRACKING,
        .granularity_bits = (uint8_t)bitmap->granularity_bits,
        .name_size = be16_make(bitmap->name_len),
    };
    return directory_put(copy, &disk, sizeof(disk), error) &&
           directory_put(copy, bitmap->name, bitmap->name_len, error) &&
           directory_put(copy, NULL, entry_len(bitmap) - sizeof(disk) - bitmap->name_len, error);
}

bool qcow2_bitmap_copy_run(struct qcow2_bitmap_copy *copy, struct image *source, struct error *error)
{
    static struct image_bitmap bitmap; /* large */
    struct image_bitmap_walk walk = {0};
    bool is_end = copy->count == 0;
    if (is_end) {
        return true;
    }
    RETURN_IF_FAILED(
        copy->allocate(copy->target, divide_up(copy->directory_len, copy->cluster_len), &copy->directory_off, error));
    memset(copy->directory, 0, copy->cluster_len);
    RETURN_IF_FAILED(put_existing(copy, error));
    while (!is_end) { /* ends: an image has a number of bitmaps */
        uint64_t table_off;
        RETURN_IF_FAILED(source->format->bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (!is_end && !bitmap.is_inconsistent) {
            RETURN_IF_FAILED(write_bitmap(copy, source, &bitmap, &table_off, error));
            RETURN_IF_FAILED(put_entry(copy, &bitmap, table_off, error));
        }
    }
    return copy->directory_done % copy->cluster_len == 0 || directory_flush(copy, error);
}
