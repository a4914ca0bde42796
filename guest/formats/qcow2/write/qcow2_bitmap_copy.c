/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/write/qcow2_bitmap_copy.h"

#include <string.h>

#include "base/checked.h"

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

/* What is wrong with one of them, as QEMU has it; NULL: nothing. */
static bool check_one(const struct qcow2_bitmap_copy *copy, const struct image *source,
                      const struct image_bitmap *bitmap, bool is_new_name, struct error *error)
{
    const char *name = (const char *)bitmap->name;
    uint64_t entries = qcow2_bitmap_store_entry_count(&copy->store, bitmap->granularity_bits);
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
    if (copy->existing != NULL && source->virtual_len != copy->store.target->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Failed to populate bitmap %.*s: Bitmaps are of different sizes (destination size is %llu, "
                         "source size is %llu) and can't be merged",
                         bitmap->name_len, name, (unsigned long long)copy->store.target->virtual_len,
                         (unsigned long long)source->virtual_len);
    }
    return (entries > 0 && entries * copy->store.cluster_len <= QCOW2_BITMAP_LEN_MAX) ||
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
        copy->directory_len += qcow2_bitmap_entry_len(bitmap.name_len);
        copy->cluster_count += qcow2_bitmap_store_table_clusters(&copy->store, bitmap.granularity_bits) +
                               qcow2_bitmap_store_entry_count(&copy->store, bitmap.granularity_bits);
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
    if (names == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for bitmaps");
    }
    RETURN_IF_FAILED(qcow2_bitmap_store_begin(&copy->store, arena, error));
    RETURN_IF_FAILED(take_existing(copy, names, error));
    uint32_t existing_count = copy->count;
    RETURN_IF_FAILED(take_new(copy, source, names, error));
    copy->cluster_count += copy->directory_len / copy->store.cluster_len + 1;
    if (copy->count == existing_count) {
        copy->count = 0;
    }
    return true;
}

/* A bitmap that is copied. */
struct copied {
    struct image *source;
    const struct image_bitmap *bitmap;
};

static bool read_bits(void *context, uint64_t off, uint8_t *bits, uint32_t len, struct error *error)
{
    const struct copied *copied = context;
    return copied->source->format->bitmap_read(copied->source, copied->bitmap, off, bits, len, error);
}

bool qcow2_bitmap_copy_run(struct qcow2_bitmap_copy *copy, struct image *source, struct error *error)
{
    static struct image_bitmap bitmap; /* large */
    struct qcow2_bitmap_store *store = &copy->store;
    struct copied copied = {.source = source, .bitmap = &bitmap};
    struct image_bitmap_walk walk = {0};
    bool is_end = copy->count == 0;
    if (is_end) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_bitmap_store_directory(store, copy->directory_len, error));
    if (copy->existing != NULL) {
        RETURN_IF_FAILED(qcow2_bitmap_store_old(store, copy->existing, 0,
                                                qcow2_of(copy->existing)->extensions.bitmap_directory_len, error));
    }
    while (!is_end) { /* ends: an image has a number of bitmaps */
        uint64_t table_off;
        RETURN_IF_FAILED(source->format->bitmap_next(source, &walk, &is_end, &bitmap, error));
        if (!is_end && !bitmap.is_inconsistent) {
            RETURN_IF_FAILED(
                qcow2_bitmap_store_bits(store, bitmap.granularity_bits, read_bits, &copied, &table_off, error));
            RETURN_IF_FAILED(qcow2_bitmap_store_entry(store, &bitmap, table_off, error));
        }
    }
    return qcow2_bitmap_store_end(store, error);
}
