/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_sparse_header.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

#define VERSION_MAX 3u
#define TABLE_COUNT_MAX 512u

struct sparse_header_disk {
    uint8_t magic[4];
    struct le32 version;
    struct le32 flags;
    struct le64 capacity;
    struct le64 grain_size;
    struct le64 descriptor_offset;
    struct le64 descriptor_size;
    struct le32 gtes_per_gt;
    struct le64 rgd_offset;
    struct le64 gd_offset;
    struct le64 overhead;
    uint8_t unclean_shutdown;
    uint8_t line_ends[4];
    struct le16 compress_algorithm;
};

_Static_assert(sizeof(struct sparse_header_disk) == 79, "as in the specification");

/* A marker of metadata fills a sector; the type is there when the size is 0. */
struct marker_disk {
    struct le64 value;
    struct le32 size;
    struct le32 type;
};

bool vmdk_sparse_header_parse(struct span bytes, struct vmdk_sparse_header *ret_header)
{
    struct sparse_header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || memcmp(disk.magic, VMDK_SPARSE_MAGIC, sizeof(disk.magic)) != 0) {
        return false;
    }
    *ret_header = (struct vmdk_sparse_header){
        .version = le32_get(disk.version),
        .flags = le32_get(disk.flags),
        .capacity_sectors = le64_get(disk.capacity),
        .grain_sectors = le64_get(disk.grain_size),
        .descriptor_sector = le64_get(disk.descriptor_offset),
        .table_count = le32_get(disk.gtes_per_gt),
        .redundant_sector = le64_get(disk.rgd_offset),
        .directory_sector = le64_get(disk.gd_offset),
        .overhead_sectors = le64_get(disk.overhead),
        .compression = le16_get(disk.compress_algorithm),
    };
    return true;
}

void vmdk_sparse_header_emit(const struct vmdk_sparse_header *header, uint8_t *ret_bytes)
{
    struct sparse_header_disk disk = {
        .version = le32_make(header->version),
        .flags = le32_make(header->flags),
        .capacity = le64_make(header->capacity_sectors),
        .grain_size = le64_make(header->grain_sectors),
        .descriptor_offset = le64_make(header->descriptor_sector),
        .descriptor_size = le64_make(header->descriptor_sector != 0 ? VMDK_DESCRIPTOR_SECTORS : 0),
        .gtes_per_gt = le32_make(header->table_count),
        .rgd_offset = le64_make(header->redundant_sector),
        .gd_offset = le64_make(header->directory_sector),
        .overhead = le64_make(header->overhead_sectors),
        .line_ends = {'\n', ' ', '\r', '\n'},
        .compress_algorithm = le16_make(header->compression),
    };
    memcpy(disk.magic, VMDK_SPARSE_MAGIC, sizeof(disk.magic));
    memset(ret_bytes, 0, VMDK_SPARSE_HEADER_LEN);
    memcpy(ret_bytes, &disk, sizeof(disk));
}

void vmdk_sparse_header_set_shape(const struct vmdk_sparse_header *header, uint8_t *bytes)
{
    struct sparse_header_disk disk;
    memcpy(&disk, bytes, sizeof(disk));
    disk.capacity = le64_make(header->capacity_sectors);
    disk.rgd_offset = le64_make(header->redundant_sector);
    disk.gd_offset = le64_make(header->directory_sector);
    memcpy(bytes, &disk, sizeof(disk));
}

void vmdk_marker_emit(enum vmdk_marker_type type, uint64_t sectors, uint8_t *ret_bytes)
{
    struct marker_disk marker = {.value = le64_make(sectors), .type = le32_make(type)};
    memset(ret_bytes, 0, VMDK_SECTOR_LEN);
    memcpy(ret_bytes, &marker, sizeof(marker));
}

static bool has_marker(struct span bytes, uint64_t off, uint32_t type, bool has_value)
{
    struct marker_disk marker;
    return span_copy(bytes, off, &marker, sizeof(marker)) && le32_get(marker.size) == 0 &&
           le32_get(marker.type) == type && (has_value || le64_get(marker.value) == 0);
}

bool vmdk_footer_parse(struct span bytes, struct vmdk_sparse_header *ret_header, struct error *error)
{
    struct span header;
    struct vmdk_sparse_header footer;
    if (!span_slice(bytes, VMDK_SECTOR_LEN, VMDK_SECTOR_LEN, &header) || !vmdk_sparse_header_parse(header, &footer) ||
        !has_marker(bytes, 0, VMDK_MARKER_FOOTER, true) ||
        !has_marker(bytes, VMDK_FOOTER_LEN - VMDK_SECTOR_LEN, VMDK_MARKER_END_OF_STREAM, false) ||
        footer.directory_sector == VMDK_DIRECTORY_AT_END) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid footer");
    }
    *ret_header = footer;
    return true;
}

static void set_redundant(const struct vmdk_sparse_header *header, struct vmdk_tables *tables)
{
    tables->has_redundant = (header->flags & VMDK_FLAG_REDUNDANT) != 0 && header->redundant_sector != 0 &&
                            vmdk_sectors_len(header->redundant_sector, &tables->redundant_off);
}

bool vmdk_sparse_header_check(const struct vmdk_sparse_header *header, uint64_t file_len,
                              struct vmdk_tables *ret_tables, struct error *error)
{
    struct vmdk_tables tables = {0};
    if (header->version > VERSION_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported VMDK version %u", header->version);
    }
    if (header->table_count > TABLE_COUNT_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "L2 table size too big");
    }
    if (header->table_count == 0 || header->grain_sectors == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "L1 entry size is invalid");
    }
    uint64_t overhead_len;
    if (!vmdk_sectors_len(header->overhead_sectors, &overhead_len) ||
        overhead_len > round_up(file_len, VMDK_SECTOR_LEN)) {
        return error_set(error, ERROR_MALFORMED, NULL, "File truncated, expecting at least %llu bytes",
                         (unsigned long long)(header->overhead_sectors * VMDK_SECTOR_LEN));
    }
    struct vmdk_shape shape = {
        .capacity_sectors = header->capacity_sectors,
        .grain_sectors = header->grain_sectors,
        .table_count = header->table_count,
        .directory_sector = header->directory_sector,
        .directory_count = UINT64_MAX,
    };
    RETURN_IF_FAILED(vmdk_tables_set(&tables, &shape, error));
    tables.is_compressed = header->compression == VMDK_COMPRESSION_DEFLATE;
    tables.has_markers = (header->flags & VMDK_FLAG_MARKERS) != 0;
    tables.has_zeroed_grains = (header->flags & VMDK_FLAG_ZEROED_GRAINS) != 0;
    set_redundant(header, &tables);
    *ret_tables = tables;
    return true;
}
