/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vpc/vpc_header.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

static const char cookie[8] = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};

struct locator_disk {
    struct be32 platform;
    struct be32 space;
    struct be32 data_len;
    struct be32 reserved;
    struct be64 data_off;
};

struct header_disk {
    char cookie[8];
    struct be64 next_off;
    struct be64 table_off;
    struct be32 version;
    struct be32 table_count;
    struct be32 block_len;
    struct be32 checksum;
    uint8_t parent_id[VPC_ID_LEN];
    struct be32 parent_timestamp;
    struct be32 reserved1;
    uint8_t parent_name[VPC_PARENT_NAME_LEN];
    struct locator_disk locators[VPC_LOCATOR_COUNT];
    uint8_t reserved2[256];
};
_Static_assert(sizeof(struct header_disk) == VPC_HEADER_LEN, "as in the specification");

#define VERSION_1_0 0x00010000u

/* QEMU's bound. */
#define TABLE_COUNT_MAX (INT_MAX / 4)

static bool sizes_check(const struct vpc_header *header, uint64_t virtual_len, struct error *error)
{
    if (!is_power_of_two(header->block_len) || header->block_len < VPC_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid block size %u", header->block_len);
    }
    if ((uint64_t)header->table_count * header->block_len < virtual_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Page table too small");
    }
    if (header->table_count > TABLE_COUNT_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Max Table Entries too large (%d)", (int)header->table_count);
    }
    if (header->table_count > VPC_TABLE_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "a table of %u blocks is longer than %u", header->table_count,
                         VPC_TABLE_COUNT_MAX);
    }
    return true;
}

bool vpc_header_parse(struct span bytes, uint64_t virtual_len, struct vpc_header *ret_header, struct error *error)
{
    struct header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_GUEST, NULL, "a dynamic disk header of %zu bytes", bytes.len);
    }
    if (memcmp(disk.cookie, cookie, sizeof(cookie)) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid header magic");
    }
    struct vpc_header header = {
        .table_off = be64_get(disk.table_off),
        .table_count = be32_get(disk.table_count),
        .block_len = be32_get(disk.block_len),
        .sum_fits = vpc_checksum(bytes, offsetof(struct header_disk, checksum)) == be32_get(disk.checksum),
    };
    RETURN_IF_FAILED(sizes_check(&header, virtual_len, error));
    header.bitmap_len = (uint32_t)round_up(header.block_len / (8 * VPC_SECTOR_LEN), VPC_SECTOR_LEN);
    header.parent_date_sec = be32_get(disk.parent_timestamp);
    memcpy(header.parent_id, disk.parent_id, sizeof(header.parent_id));
    memcpy(header.parent_name, disk.parent_name, sizeof(header.parent_name));
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT; i++) {
        header.locators[i] = (struct vpc_locator){
            .platform = be32_get(disk.locators[i].platform),
            .data_len = be32_get(disk.locators[i].data_len),
            .data_off = be64_get(disk.locators[i].data_off),
        };
    }
    *ret_header = header;
    return true;
}

void vpc_header_emit(const struct vpc_header *header, uint8_t *ret_bytes)
{
    struct header_disk disk = {
        .next_off = be64_make(UINT64_MAX),
        .table_off = be64_make(header->table_off),
        .version = be32_make(VERSION_1_0),
        .table_count = be32_make(header->table_count),
        .block_len = be32_make(header->block_len),
        .parent_timestamp = be32_make(header->parent_date_sec),
    };
    memcpy(disk.cookie, cookie, sizeof(cookie));
    memcpy(disk.parent_id, header->parent_id, sizeof(disk.parent_id));
    memcpy(disk.parent_name, header->parent_name, sizeof(disk.parent_name));
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT; i++) {
        const struct vpc_locator *locator = &header->locators[i];
        disk.locators[i] = (struct locator_disk){
            .platform = be32_make(locator->platform),
            /* In bytes, as Windows writes it, whatever the specification says. */
            .space = be32_make((uint32_t)round_up(locator->data_len, VPC_SECTOR_LEN)),
            .data_len = be32_make(locator->data_len),
            .data_off = be64_make(locator->data_off),
        };
    }
    struct span bytes = {(const uint8_t *)&disk, sizeof(disk)};
    disk.checksum = be32_make(vpc_checksum(bytes, offsetof(struct header_disk, checksum)));
    memcpy(ret_bytes, &disk, sizeof(disk));
}

void vpc_header_set_table(uint64_t off, uint32_t count, uint8_t *bytes)
{
    struct header_disk disk;
    memcpy(&disk, bytes, sizeof(disk));
    disk.table_off = be64_make(off);
    disk.table_count = be32_make(count);
    struct span sum_bytes = {(const uint8_t *)&disk, sizeof(disk)};
    disk.checksum = be32_make(vpc_checksum(sum_bytes, offsetof(struct header_disk, checksum)));
    memcpy(bytes, &disk, sizeof(disk));
}
