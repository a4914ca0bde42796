/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/write/qcow2_bitmap_store.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/zeros.h"
#include "guest/formats/qcow2/layout/qcow2_bits.h"

bool qcow2_bitmap_store_begin(struct qcow2_bitmap_store *store, struct arena *arena, struct error *error)
{
    store->data = arena_allocate(arena, store->cluster_len, 4096);
    store->table = arena_allocate(arena, store->cluster_len, 4096);
    store->directory = arena_allocate(arena, store->cluster_len, 4096);
    return (store->data != NULL && store->table != NULL && store->directory != NULL) ||
           error_set(error, ERROR_LIMIT, NULL, "no memory is left for bitmaps");
}

uint64_t qcow2_bitmap_store_entry_count(const struct qcow2_bitmap_store *store, uint32_t granularity_bits)
{
    return qcow2_bitmap_entry_count(store->target->virtual_len, granularity_bits, store->cluster_len);
}

uint64_t qcow2_bitmap_store_table_clusters(const struct qcow2_bitmap_store *store, uint32_t granularity_bits)
{
    return divide_up(qcow2_bitmap_store_entry_count(store, granularity_bits), store->cluster_len / sizeof(struct be64));
}

uint64_t qcow2_bitmap_entry_len(uint16_t name_len)
{
    return round_up(sizeof(struct qcow2_bitmap_disk) + name_len, 8);
}

static bool write_data(struct qcow2_bitmap_store *store, uint64_t *ret_entry, struct error *error)
{
    *ret_entry = 0;
    if (bytes_are_zero((struct span){store->data, store->cluster_len})) {
        return true;
    }
    return store->allocate(store->target, 1, ret_entry, error) &&
           store->write(store->target, *ret_entry, store->data, store->cluster_len, error);
}

bool qcow2_bitmap_store_bits(struct qcow2_bitmap_store *store, uint32_t granularity_bits, qcow2_bitmap_reader read,
                             void *context, uint64_t *ret_table_off, struct error *error)
{
    uint64_t entries_per_cluster = store->cluster_len / sizeof(struct be64);
    uint64_t entry_count = qcow2_bitmap_store_entry_count(store, granularity_bits);
    uint64_t bit_count = qcow2_bitmap_bit_count(store->target->virtual_len, granularity_bits);
    uint64_t table_off;
    RETURN_IF_FAILED(
        store->allocate(store->target, qcow2_bitmap_store_table_clusters(store, granularity_bits), &table_off, error));
    for (uint64_t first = 0; first < entry_count; first += entries_per_cluster) {
        uint64_t count = min_u64(entry_count - first, entries_per_cluster);
        memset(store->table, 0, store->cluster_len);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t off = (first + i) * store->cluster_len;
            uint64_t entry;
            RETURN_IF_FAILED(read(context, off, store->data, store->cluster_len, error));
            qcow2_bits_cut(store->data, store->cluster_len, bit_count - off * 8);
            RETURN_IF_FAILED(write_data(store, &entry, error));
            struct be64 word = be64_make(entry);
            memcpy(store->table + i * sizeof(word), &word, sizeof(word));
        }
        RETURN_IF_FAILED(store->write(store->target, table_off + first * sizeof(struct be64), store->table,
                                      (uint32_t)(count * sizeof(struct be64)), error));
    }
    *ret_table_off = table_off;
    return true;
}

bool qcow2_bitmap_store_directory(struct qcow2_bitmap_store *store, uint64_t len, struct error *error)
{
    memset(store->directory, 0, store->cluster_len);
    store->directory_done = 0;
    return store->allocate(store->target, divide_up(len, store->cluster_len), &store->directory_off, error);
}

static bool directory_flush(struct qcow2_bitmap_store *store, struct error *error)
{
    uint64_t off = store->directory_off + (store->directory_done - 1) / store->cluster_len * store->cluster_len;
    RETURN_IF_FAILED(store->write(store->target, off, store->directory, store->cluster_len, error));
    memset(store->directory, 0, store->cluster_len);
    return true;
}

/* Appends to the directory; `len` bytes of zeros for NULL. */
static bool directory_put(struct qcow2_bitmap_store *store, const void *bytes, uint64_t len, struct error *error)
{
    const uint8_t *next = bytes;
    while (len > 0) { /* ends: each round appends a byte at least */
        uint64_t pos = store->directory_done % store->cluster_len;
        uint64_t part_len = min_u64(len, store->cluster_len - pos);
        if (next != NULL) {
            memcpy(store->directory + pos, next, part_len);
            next += part_len;
        }
        store->directory_done += part_len;
        len -= part_len;
        if (pos + part_len == store->cluster_len) {
            RETURN_IF_FAILED(directory_flush(store, error));
        }
    }
    return true;
}

bool qcow2_bitmap_store_old(struct qcow2_bitmap_store *store, struct image *image, uint64_t from, uint64_t to,
                            struct error *error)
{
    while (from < to) { /* ends: each round copies a part */
        uint64_t part_len = min_u64(to - from, store->cluster_len);
        RETURN_IF_FAILED(cache_read(image->environment->cache, image->file,
                                    qcow2_of(image)->extensions.bitmap_directory_off + from, store->data,
                                    (size_t)part_len, error));
        RETURN_IF_FAILED(directory_put(store, store->data, part_len, error));
        from += part_len;
    }
    return true;
}

/* Its bytes are padded to 8. */
bool qcow2_bitmap_store_entry(struct qcow2_bitmap_store *store, const struct image_bitmap *bitmap, uint64_t table_off,
                              struct error *error)
{
    struct qcow2_bitmap_disk disk = {
        .table_offset = be64_make(table_off),
        .table_size = be32_make((uint32_t)qcow2_bitmap_store_entry_count(store, bitmap->granularity_bits)),
        .flags = be32_make(bitmap->is_enabled ? QCOW2_BITMAP_AUTO : 0),
        .type = QCOW2_BITMAP_DIRTY_TRACKING,
        .granularity_bits = (uint8_t)bitmap->granularity_bits,
        .name_size = be16_make(bitmap->name_len),
    };
    return directory_put(store, &disk, sizeof(disk), error) &&
           directory_put(store, bitmap->name, bitmap->name_len, error) &&
           directory_put(store, NULL, qcow2_bitmap_entry_len(bitmap->name_len) - sizeof(disk) - bitmap->name_len,
                         error);
}

bool qcow2_bitmap_store_end(struct qcow2_bitmap_store *store, struct error *error)
{
    return store->directory_done % store->cluster_len == 0 || directory_flush(store, error);
}
