/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow/qcow_header.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

#define MAGIC 0x514649fbu /* "QFI\xfb" */
#define VERSION 1u
#define CRYPT_NONE 0u
#define CRYPT_AES 1u
#define L1_COUNT_MAX (INT32_MAX / 8u)

struct qcow_header_disk {
    struct be32 magic;
    struct be32 version;
    struct be64 backing_file_offset;
    struct be32 backing_file_size;
    struct be32 mtime;
    struct be64 size;
    uint8_t cluster_bits;
    uint8_t l2_bits;
    struct be16 padding;
    struct be32 crypt_method;
    struct be64 l1_table_offset;
};

_Static_assert(sizeof(struct qcow_header_disk) == QCOW_HEADER_LEN, "no gaps");

bool qcow_header_count_l1(struct qcow_header *header, struct error *error)
{
    uint64_t reach = 1ull << (header->cluster_bits + header->l2_bits); /* bytes that an L2 table is for */
    uint64_t rounded;
    if (!checked_round_up(header->disk_len, reach, &rounded) || rounded / reach > L1_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Image too large");
    }
    header->l1_count = rounded / reach;
    if (!range_is_within(header->l1_off, header->l1_count * 8, INT64_MAX)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the L1 table has an impossible offset (0x%llx)",
                         (unsigned long long)header->l1_off);
    }
    return true;
}

bool qcow_header_parse(struct span head, struct qcow_header *ret_header, struct error *error)
{
    struct qcow_header_disk disk;
    if (!span_copy(head, 0, &disk, sizeof(disk)) || be32_get(disk.magic) != MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in qcow format");
    }
    if (be32_get(disk.version) != VERSION) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "qcow (v%u) does not support qcow version %u", VERSION,
                         be32_get(disk.version));
    }
    struct qcow_header header = {
        .cluster_bits = disk.cluster_bits,
        .l2_bits = disk.l2_bits,
        .disk_len = be64_get(disk.size),
        .l1_off = be64_get(disk.l1_table_offset),
        .backing_off = be64_get(disk.backing_file_offset),
        .backing_len = be32_get(disk.backing_file_size),
        .is_encrypted = be32_get(disk.crypt_method) != CRYPT_NONE,
    };
    if (header.disk_len <= 1) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image size is too small (must be at least 2 bytes)");
    }
    if (header.cluster_bits < 9 || header.cluster_bits > 16) {
        return error_set(error, ERROR_MALFORMED, NULL, "Cluster size must be between 512 and 64k");
    }
    if (header.l2_bits < 9 - 3 || header.l2_bits > 16 - 3) {
        return error_set(error, ERROR_MALFORMED, NULL, "L2 table size must be between 512 and 64k");
    }
    if (header.is_encrypted && be32_get(disk.crypt_method) != CRYPT_AES) {
        return error_set(error, ERROR_MALFORMED, NULL, "invalid encryption method in qcow header");
    }
    RETURN_IF_FAILED(qcow_header_count_l1(&header, error));
    *ret_header = header;
    return true;
}

void qcow_header_emit(const struct qcow_header *header, uint8_t *ret_bytes)
{
    struct qcow_header_disk disk = {
        .magic = be32_make(MAGIC),
        .version = be32_make(VERSION),
        .backing_file_offset = be64_make(header->backing_off),
        .backing_file_size = be32_make(header->backing_len),
        .size = be64_make(header->disk_len),
        .cluster_bits = (uint8_t)header->cluster_bits,
        .l2_bits = (uint8_t)header->l2_bits,
        .crypt_method = be32_make(header->is_encrypted ? CRYPT_AES : CRYPT_NONE),
        .l1_table_offset = be64_make(header->l1_off),
    };
    memcpy(ret_bytes, &disk, sizeof(disk));
}
