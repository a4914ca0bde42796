/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/layout/qcow2_header.h"

#include <stddef.h>

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"

#define SNAPSHOT_ENTRY_LEN_MIN 40u
#define TOO_LARGE "Could not refresh total sector count: File too large"

bool qcow2_header_probe(struct span head)
{
    struct qcow2_header_disk disk;
    return span_copy(head, 0, &disk, sizeof(disk)) && be32_get(disk.magic) == QCOW2_MAGIC &&
           be32_get(disk.version) >= 2;
}

/* Fields that version 2 does not have get what they stand for there. */
static void parse_version_3(const struct qcow2_header_disk *disk, struct qcow2_header *header)
{
    header->refcount_order = 4;
    header->header_len = QCOW2_HEADER_LEN_V2;
    if (header->version < 3) {
        return;
    }
    header->incompatible_features = be64_get(disk->incompatible_features);
    header->compatible_features = be64_get(disk->compatible_features);
    header->autoclear_features = be64_get(disk->autoclear_features);
    header->refcount_order = be32_get(disk->refcount_order);
    header->header_len = be32_get(disk->header_length);
    if (header->header_len > offsetof(struct qcow2_header_disk, compression_type)) {
        header->compression_type = disk->compression_type;
    }
}

static bool check_compression(const struct qcow2_header *header, struct error *error)
{
    if (header->compression_type > QCOW2_COMPRESSION_ZSTD) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "qcow2: unknown compression type: %u",
                         header->compression_type);
    }
    bool has_bit = (header->incompatible_features & QCOW2_INCOMPATIBLE_COMPRESSION) != 0;
    bool needs_bit = header->compression_type != QCOW2_COMPRESSION_DEFLATE;
    if (has_bit != needs_bit) {
        return error_set(error, ERROR_MALFORMED, NULL, "qcow2: Compression type incompatible feature bit must %sbe set",
                         needs_bit ? "" : "not ");
    }
    return true;
}

bool qcow2_header_parse(struct span bytes, struct qcow2_header *ret_header, struct error *error)
{
    struct qcow2_header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || be32_get(disk.magic) != QCOW2_MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image is not in qcow2 format");
    }
    struct qcow2_header header = {
        .version = be32_get(disk.version),
        .cluster_bits = be32_get(disk.cluster_bits),
        .size = be64_get(disk.size),
        .crypt_method = be32_get(disk.crypt_method),
        .backing_name_off = be64_get(disk.backing_file_offset),
        .backing_name_len = be32_get(disk.backing_file_size),
        .l1_off = be64_get(disk.l1_table_offset),
        .l1_entry_count = be32_get(disk.l1_size),
        .refcount_table_off = be64_get(disk.refcount_table_offset),
        .refcount_table_clusters = be32_get(disk.refcount_table_clusters),
        .snapshots_off = be64_get(disk.snapshots_offset),
        .snapshot_count = be32_get(disk.nb_snapshots),
    };
    if (header.version < 2 || header.version > 3) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported qcow2 version %u", header.version);
    }
    if (header.cluster_bits < QCOW2_CLUSTER_BITS_MIN || header.cluster_bits > QCOW2_CLUSTER_BITS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported cluster size: 2^%u", header.cluster_bits);
    }
    header.cluster_len = 1u << header.cluster_bits;
    parse_version_3(&disk, &header);
    if (header.version >= 3 && header.header_len < QCOW2_HEADER_LEN_V3_MIN) {
        return error_set(error, ERROR_MALFORMED, NULL, "qcow2 header too short");
    }
    if (header.header_len > header.cluster_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "qcow2 header exceeds cluster size");
    }
    if (header.backing_name_off > header.cluster_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid backing file offset");
    }
    RETURN_IF_FAILED(check_compression(&header, error));
    *ret_header = header;
    return true;
}

bool qcow2_table_check(const struct qcow2_header *header, uint64_t off, uint64_t entry_count, uint64_t entry_len,
                       uint64_t table_len_max, const char *name, struct error *error)
{
    uint64_t len;
    uint64_t end_off;
    if (entry_count > table_len_max / entry_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "%s too large", name);
    }
    len = entry_count * entry_len;
    if (!checked_add(off, len, &end_off) || end_off > INT64_MAX || off % header->cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "%s offset invalid", name);
    }
    return true;
}

/* How many bytes of the disk one L1 entry stands for: 2 to this power. */
static uint32_t l1_entry_bits(const struct qcow2_header *header)
{
    return header->cluster_bits + qcow2_l2_bits(header);
}

static bool check_l1(const struct qcow2_header *header, struct error *error)
{
    RETURN_IF_FAILED(qcow2_table_check(header, header->l1_off, header->l1_entry_count, 8, QCOW2_L1_LEN_MAX,
                                       "Active L1 table", error));
    uint64_t covered_len = 1ull << l1_entry_bits(header);
    uint64_t needed_len;
    if (!checked_round_up(header->size, covered_len, &needed_len)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, TOO_LARGE);
    }
    if (needed_len / covered_len > INT32_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Image is too big");
    }
    if (header->l1_entry_count < needed_len / covered_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "L1 table is too small");
    }
    if (!range_is_within(header->l1_off, qcow2_l1_len(header), QCOW2_LEN_MAX)) {
        return error_set(error, ERROR_IO, NULL, "Could not read L1 table: Input/output error");
    }
    if (header->size > QCOW2_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, TOO_LARGE);
    }
    return true;
}

bool qcow2_header_check(const struct qcow2_header *header, bool is_for_check, struct error *error)
{
    if (header->refcount_order > 6) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Reference count entry width too large; may not exceed 64 bits");
    }
    uint32_t subcluster_len = header->cluster_len / QCOW2_SUBCLUSTER_COUNT;
    if (qcow2_has_extended_l2(header) && subcluster_len < QCOW2_SUBCLUSTER_LEN_MIN) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported subcluster size: %u", subcluster_len);
    }
    if (header->refcount_table_clusters == 0 && !is_for_check) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image does not contain a reference count table");
    }
    RETURN_IF_FAILED(qcow2_table_check(header, header->refcount_table_off, header->refcount_table_clusters,
                                       header->cluster_len, QCOW2_REFCOUNT_TABLE_LEN_MAX, "Reference count table",
                                       error));
    if (!is_for_check) {
        RETURN_IF_FAILED(
            qcow2_table_check(header, header->snapshots_off, header->snapshot_count, SNAPSHOT_ENTRY_LEN_MIN,
                              (uint64_t)SNAPSHOT_ENTRY_LEN_MIN * QCOW2_SNAPSHOT_COUNT_MAX, "Snapshot table", error));
    }
    RETURN_IF_FAILED(check_l1(header, error));
    if (header->crypt_method > QCOW2_CRYPT_LUKS) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported encryption method %d", (int)header->crypt_method);
    }
    return true;
}

void qcow2_header_to_disk(const struct qcow2_header *header, struct qcow2_header_disk *ret_disk)
{
    *ret_disk = (struct qcow2_header_disk){
        .magic = be32_make(QCOW2_MAGIC),
        .version = be32_make(header->version),
        .backing_file_offset = be64_make(header->backing_name_off),
        .backing_file_size = be32_make(header->backing_name_len),
        .cluster_bits = be32_make(header->cluster_bits),
        .size = be64_make(header->size),
        .crypt_method = be32_make(header->crypt_method),
        .l1_size = be32_make(header->l1_entry_count),
        .l1_table_offset = be64_make(header->l1_off),
        .refcount_table_offset = be64_make(header->refcount_table_off),
        .refcount_table_clusters = be32_make(header->refcount_table_clusters),
        .nb_snapshots = be32_make(header->snapshot_count),
        .snapshots_offset = be64_make(header->snapshots_off),
        .incompatible_features = be64_make(header->incompatible_features),
        .compatible_features = be64_make(header->compatible_features),
        .autoclear_features = be64_make(header->autoclear_features),
        .refcount_order = be32_make(header->refcount_order),
        .header_length = be32_make(header->header_len),
        .compression_type = header->compression_type,
    };
}

uint64_t qcow2_refcount_table_len(const struct qcow2_header *header)
{
    return (uint64_t)header->refcount_table_clusters << header->cluster_bits;
}

uint64_t qcow2_l1_len(const struct qcow2_header *header)
{
    return (uint64_t)header->l1_entry_count * 8;
}
