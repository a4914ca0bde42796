/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_cowd_header.h"

#include <string.h>

#include "base/endian.h"

#define TABLE_COUNT 4096u

struct cowd_header_disk {
    uint8_t magic[4];
    struct le32 version;
    struct le32 flags;
    struct le32 capacity;
    struct le32 grain_size;
    struct le32 directory_offset;
    struct le32 directory_count;
    struct le32 file_sectors;
    struct le32 cylinders;
    struct le32 heads;
    struct le32 sectors;
};

_Static_assert(sizeof(struct cowd_header_disk) == VMDK_COWD_HEADER_LEN, "as in the specification");

bool vmdk_cowd_header_parse(struct span bytes, struct vmdk_tables *ret_tables, struct error *error)
{
    struct cowd_header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || memcmp(disk.magic, VMDK_COWD_MAGIC, sizeof(disk.magic)) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in VMDK format");
    }
    struct vmdk_tables tables = {0};
    struct vmdk_shape shape = {
        .capacity_sectors = le32_get(disk.capacity),
        .grain_sectors = le32_get(disk.grain_size),
        .table_count = TABLE_COUNT,
        .directory_sector = le32_get(disk.directory_offset),
        .directory_count = le32_get(disk.directory_count),
    };
    RETURN_IF_FAILED(vmdk_tables_set(&tables, &shape, error));
    *ret_tables = tables;
    return true;
}
