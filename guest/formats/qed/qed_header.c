/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qed/qed_header.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

#define MAGIC 0x00444551u /* "QED\0" */
#define CLUSTER_LEN_MIN (4u << 10)
#define CLUSTER_LEN_MAX (64u << 20)
#define TABLE_CLUSTERS_MAX 16u
#define ENTRY_LEN 8u

struct qed_header_disk {
    struct le32 magic;
    struct le32 cluster_size;
    struct le32 table_size;
    struct le32 header_size;
    struct le64 features;
    struct le64 compat_features;
    struct le64 autoclear_features;
    struct le64 l1_table_offset;
    struct le64 image_size;
    struct le32 backing_filename_offset;
    struct le32 backing_filename_size;
};

_Static_assert(sizeof(struct qed_header_disk) == QED_HEADER_LEN, "as the specification has it");

bool qed_is_cluster(const struct qed_header *header, uint64_t off)
{
    return off % header->cluster_len == 0 && off >= header->header_len && off < header->file_len;
}

/* As in QEMU a table of one cluster never is one: its end is its start, which counts as an overflow there. */
bool qed_is_table(const struct qed_header *header, uint64_t off)
{
    uint64_t last_off;
    return checked_add(off, (uint64_t)(header->table_clusters - 1) * header->cluster_len, &last_off) &&
           last_off > off && qed_is_cluster(header, off) && qed_is_cluster(header, last_off);
}

/* Of the disk, by two levels of tables. As in QEMU the product wraps: for the longest tables it is 0. */
static uint64_t len_max(const struct qed_header *header)
{
    uint32_t bits = 2 * header->entry_bits + header->cluster_bits;
    return bits < 64 ? 1ull << bits : 0;
}

bool qed_header_is_len_valid(const struct qed_header *header)
{
    return header->image_len % QED_SECTOR_LEN == 0 && header->image_len <= len_max(header);
}

static void bits_set(struct qed_header *header)
{
    header->cluster_bits = (uint32_t)__builtin_ctz(header->cluster_len);
    header->entry_bits = header->cluster_bits + (uint32_t)__builtin_ctz(header->table_clusters) - 3;
}

static bool check_tables(struct qed_header *header, uint64_t file_len, struct error *error)
{
    if (!is_power_of_two(header->cluster_len) || header->cluster_len < CLUSTER_LEN_MIN ||
        header->cluster_len > CLUSTER_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED cluster size is invalid");
    }
    if (!is_power_of_two(header->table_clusters) || header->table_clusters > TABLE_CLUSTERS_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED table size is invalid");
    }
    bits_set(header);
    header->file_len = round_down(file_len, header->cluster_len);
    if (!qed_header_is_len_valid(header)) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED image size is invalid");
    }
    return true;
}

bool qed_header_parse(struct span head, uint64_t file_len, struct qed_header *ret_header, struct error *error)
{
    const uint64_t known = QED_FEATURE_BACKING_FILE | QED_FEATURE_NEED_CHECK | QED_FEATURE_BACKING_NO_PROBE;
    struct qed_header_disk disk;
    if (!span_copy(head, 0, &disk, sizeof(disk)) || le32_get(disk.magic) != MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in QED format");
    }
    struct qed_header header = {
        .cluster_len = le32_get(disk.cluster_size),
        .table_clusters = le32_get(disk.table_size),
        .features = le64_get(disk.features),
        .l1_off = le64_get(disk.l1_table_offset),
        .image_len = le64_get(disk.image_size),
        .backing_off = le32_get(disk.backing_filename_offset),
        .backing_len = le32_get(disk.backing_filename_size),
    };
    uint32_t header_clusters = le32_get(disk.header_size);
    if ((header.features & ~known) != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported QED features: %llx",
                         (unsigned long long)(header.features & ~known));
    }
    RETURN_IF_FAILED(check_tables(&header, file_len, error));
    header.header_len = (uint64_t)header_clusters * header.cluster_len;
    if (!qed_is_table(&header, header.l1_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED table offset is invalid");
    }
    if (header.header_len > UINT32_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED header size is too large");
    }
    if ((header.features & QED_FEATURE_BACKING_FILE) != 0 &&
        (uint64_t)header.backing_off + header.backing_len > header.header_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "QED backing filename offset is invalid");
    }
    *ret_header = header;
    return true;
}

bool qed_header_make(uint64_t cluster_len, uint64_t table_clusters, uint64_t disk_len, struct qed_header *ret_header,
                     struct error *error)
{
    if (!is_power_of_two(cluster_len) || cluster_len < CLUSTER_LEN_MIN || cluster_len > CLUSTER_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "QED cluster size must be within range [%u, %u] and power of 2",
                         CLUSTER_LEN_MIN, CLUSTER_LEN_MAX);
    }
    if (!is_power_of_two(table_clusters) || table_clusters > TABLE_CLUSTERS_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "QED table size must be within range [1, %u] and power of 2",
                         TABLE_CLUSTERS_MAX);
    }
    struct qed_header header = {
        .cluster_len = (uint32_t)cluster_len,
        .table_clusters = (uint32_t)table_clusters,
        .header_len = cluster_len,
        .l1_off = cluster_len,
        .image_len = disk_len,
    };
    bits_set(&header);
    if (!qed_header_is_len_valid(&header)) {
        return error_set(error, ERROR_USAGE, NULL,
                         "QED image size must be a non-zero multiple of cluster size and less than %llu bytes",
                         (unsigned long long)len_max(&header));
    }
    if (table_clusters == 1) {
        return error_set(error, ERROR_USAGE, NULL, "QED table offset is invalid");
    }
    *ret_header = header;
    return true;
}

void qed_header_emit(const struct qed_header *header, uint8_t *ret_bytes)
{
    struct qed_header_disk disk = {
        .magic = le32_make(MAGIC),
        .cluster_size = le32_make(header->cluster_len),
        .table_size = le32_make(header->table_clusters),
        .header_size = le32_make((uint32_t)(header->header_len / header->cluster_len)),
        .features = le64_make(header->features),
        .l1_table_offset = le64_make(header->l1_off),
        .image_size = le64_make(header->image_len),
        .backing_filename_offset = le32_make(header->backing_off),
        .backing_filename_size = le32_make(header->backing_len),
    };
    memcpy(ret_bytes, &disk, sizeof(disk));
}

void qed_header_update(const struct qed_header *header, uint8_t *bytes)
{
    struct qed_header_disk disk;
    memcpy(&disk, bytes, sizeof(disk));
    disk.features = le64_make(header->features);
    disk.autoclear_features = le64_make(0); /* of what is not known */
    disk.image_size = le64_make(header->image_len);
    disk.backing_filename_offset = le32_make(header->backing_off);
    disk.backing_filename_size = le32_make(header->backing_len);
    memcpy(bytes, &disk, sizeof(disk));
}
