/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps of a new image (qcow2, "Bitmaps"): data and tables when they are added, the directory at the end. */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/qcow2/qcow2_bitmaps.h"
#include "guest/formats/qcow2/qcow2_writer.h"

/* Room for the directory: of 40 bitmaps with the longest names, or 2000 with short ones. */
#define DIRECTORY_LEN_MAX 65536u

bool qcow2_writer_bitmaps_init(struct qcow2_writer *writer, struct arena *arena)
{
    struct qcow2_writer_bitmaps *bitmaps = &writer->bitmaps;
    bitmaps->data = arena_allocate(arena, writer->cluster_len, 8);
    bitmaps->table = arena_allocate(arena, writer->cluster_len, 8);
    bitmaps->directory = arena_allocate(arena, DIRECTORY_LEN_MAX, 8);
    return bitmaps->data != NULL && bitmaps->table != NULL && bitmaps->directory != NULL;
}

/* Clusters in one piece, for a table. */
static bool allocate_run(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off, struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    uint64_t taken;
    if (count >= allocator->block_entries) {
        return error_set(error, ERROR_UNSUPPORTED, writer->target.file->name,
                         "the table of a bitmap does not fit clusters of %u bytes", writer->cluster_len);
    }
    if ((allocator->block_index + 1) * allocator->block_entries - allocator->next < count) {
        qcow2_allocator_skip(allocator);
    }
    return qcow2_writer_allocate(writer, count, ret_off, &taken, error);
}

/* How many bits the bitmap of a disk has. */
static uint64_t bit_count(const struct qcow2_writer *writer, const struct image_bitmap *bitmap)
{
    uint64_t granules = writer->target.virtual_len >> bitmap->granularity_bits;
    return granules + ((writer->target.virtual_len & ((1ull << bitmap->granularity_bits) - 1)) != 0);
}

/* Reads a cluster of bits from `off` on. Those behind the disk's end are 0. */
static bool read_bits(struct qcow2_writer *writer, struct image *source, const struct image_bitmap *bitmap,
                      uint64_t off, struct error *error)
{
    uint8_t *data = writer->bitmaps.data;
    uint64_t bits = bit_count(writer, bitmap) - off * 8;
    RETURN_IF_FAILED(source->format->bitmap_read(source, bitmap, off, data, writer->cluster_len, error));
    if (bits < (uint64_t)writer->cluster_len * 8) {
        memset(data + (bits + 7) / 8, 0, writer->cluster_len - (bits + 7) / 8);
        data[bits / 8] &= (uint8_t)((1u << bits % 8) - 1); /* a 0 where bits end with a byte */
    }
    return true;
}

static bool write_data(struct qcow2_writer *writer, uint64_t *ret_entry, struct error *error)
{
    uint64_t count;
    *ret_entry = 0;
    if (memcmp(writer->bitmaps.data, writer->zeros, writer->cluster_len) == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_writer_allocate(writer, 1, ret_entry, &count, error));
    return qcow2_writer_table(writer, *ret_entry, writer->bitmaps.data, writer->cluster_len, error);
}

/* An entry of the directory; its data are padded to 8 bytes. */
static bool append_entry(struct qcow2_writer *writer, const struct image_bitmap *bitmap, uint64_t table_off,
                         uint64_t entry_count, struct error *error)
{
    struct qcow2_writer_bitmaps *bitmaps = &writer->bitmaps;
    struct qcow2_bitmap_disk disk = {
        .table_offset = be64_make(table_off),
        .table_size = be32_make((uint32_t)entry_count),
        .flags = be32_make(bitmap->is_enabled ? QCOW2_BITMAP_AUTO : 0),
        .type = QCOW2_BITMAP_DIRTY_TRACKING,
        .granularity_bits = (uint8_t)bitmap->granularity_bits,
        .name_size = be16_make(bitmap->name_len),
    };
    uint32_t len = (uint32_t)round_up(sizeof(disk) + bitmap->name_len, 8);
    if (len > DIRECTORY_LEN_MAX - bitmaps->directory_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the bitmaps' names take more than %u bytes",
                         DIRECTORY_LEN_MAX);
    }
    uint8_t *entry = bitmaps->directory + bitmaps->directory_len;
    memset(entry, 0, len);
    memcpy(entry, &disk, sizeof(disk));
    memcpy(entry + sizeof(disk), bitmap->name, bitmap->name_len);
    bitmaps->directory_len += len;
    bitmaps->count++;
    return true;
}

bool qcow2_writer_add_bitmap(struct target *target, struct image *source, const struct image_bitmap *bitmap,
                             struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    uint64_t entries_per_cluster = writer->cluster_len / sizeof(struct be64);
    uint64_t len = round_up(bit_count(writer, bitmap), 64) / 8;
    uint64_t entry_count = (len + writer->cluster_len - 1) / writer->cluster_len;
    if (entry_count == 0 || entry_count * writer->cluster_len > QCOW2_BITMAP_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the new image cannot have the bitmap '%.*s'",
                         bitmap->name_len, (const char *)bitmap->name);
    }
    uint64_t table_off;
    RETURN_IF_FAILED(qcow2_pack_close(writer, error));
    RETURN_IF_FAILED(
        allocate_run(writer, (entry_count + entries_per_cluster - 1) / entries_per_cluster, &table_off, error));
    for (uint64_t first = 0; first < entry_count; first += entries_per_cluster) {
        uint64_t count = min_u64(entry_count - first, entries_per_cluster);
        memset(writer->bitmaps.table, 0, writer->cluster_len);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t entry;
            RETURN_IF_FAILED(read_bits(writer, source, bitmap, (first + i) * writer->cluster_len, error));
            RETURN_IF_FAILED(write_data(writer, &entry, error));
            struct be64 word = be64_make(entry);
            memcpy(writer->bitmaps.table + i * sizeof(word), &word, sizeof(word));
        }
        RETURN_IF_FAILED(qcow2_writer_table(writer, table_off + first * sizeof(struct be64), writer->bitmaps.table,
                                            writer->cluster_len, error));
    }
    return append_entry(writer, bitmap, table_off, entry_count, error);
}

bool qcow2_writer_bitmaps_end(struct qcow2_writer *writer, struct error *error)
{
    struct qcow2_writer_bitmaps *bitmaps = &writer->bitmaps;
    if (bitmaps->count == 0) {
        return true;
    }
    uint32_t clusters = (bitmaps->directory_len + writer->cluster_len - 1) / writer->cluster_len;
    RETURN_IF_FAILED(allocate_run(writer, clusters, &bitmaps->directory_off, error));
    for (uint32_t i = 0; i < clusters; i++) {
        uint32_t pos = i * writer->cluster_len;
        memset(bitmaps->table, 0, writer->cluster_len);
        memcpy(bitmaps->table, bitmaps->directory + pos, min_u64(bitmaps->directory_len - pos, writer->cluster_len));
        RETURN_IF_FAILED(
            qcow2_writer_table(writer, bitmaps->directory_off + pos, bitmaps->table, writer->cluster_len, error));
    }
    return true;
}
