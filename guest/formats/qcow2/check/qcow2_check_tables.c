/* SPDX-License-Identifier: Apache-2.0 */
/* L1 tables and L2 tables: what they refer to, and what is wrong with their entries. */
#include <inttypes.h>

#include "base/endian.h"
#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"

/* An L2 table on its way through the entries. */
struct l2_walk {
    struct qcow2_check *check;
    uint64_t table_off; /* bytes in the file */
    bool is_active;
    uint64_t next_off; /* where the next cluster is if the table's clusters follow each other; 0: no cluster yet */
};

static bool counts_clusters(const struct l2_walk *walk)
{
    return walk->is_active && walk->check->is_first_pass;
}

static bool count_compressed(struct l2_walk *walk, uint64_t index, uint64_t entry, uint64_t bitmap, struct error *error)
{
    struct qcow2_check *check = walk->check;
    uint64_t off, len;
    qcow2_compressed_range(check->header, entry, &off, &len);
    if ((entry & QCOW2_COPIED) != 0) {
        qcow2_check_corruption(
            check, "ERROR: coffset=0x%" PRIx64 ": copied flag must never be set for compressed clusters", off);
        entry &= ~QCOW2_COPIED;
    }
    if (qcow2_has_data_file(check->header)) {
        qcow2_check_corruption(check, "ERROR compressed cluster %" PRIu64 " with data file, entry=0x%" PRIx64, index,
                               entry);
        return true;
    }
    if (bitmap != 0) {
        qcow2_check_corruption(
            check, "ERROR compressed cluster %" PRIu64 " with non-zero subcluster allocation bitmap, entry=0x%" PRIx64,
            index, entry);
        return true;
    }
    RETURN_IF_FAILED(qcow2_check_count_range(check, off, len, error));
    if (counts_clusters(walk)) {
        check->result->allocated_clusters++;
        check->result->compressed_clusters++;
        check->result->fragmented_clusters++; /* by their nature, says QEMU: they begin and end anywhere */
    }
    return true;
}

/*
 * An entry whose offset makes no sense, and whose cluster reads as zeros: it becomes zeros without a place (with
 * extended entries, those subclusters that had a place). *ret_is_done: it has, and there is no cluster to count any
 * more.
 */
static bool repair_unaligned(struct l2_walk *walk, uint64_t index, uint64_t bitmap, bool *ret_is_done,
                             struct error *error)
{
    struct qcow2_check *check = walk->check;
    uint32_t entry_len = qcow2_l2_entry_len(check->header);
    struct qcow2_l2_entry entry = qcow2_l2_zero_entry(check->header);
    if (qcow2_has_extended_l2(check->header)) {
        uint32_t zero = qcow2_l2_bitmap_data(bitmap) | qcow2_l2_bitmap_zero(bitmap);
        entry.bitmap = qcow2_l2_bitmap_make(0, zero);
    }
    const struct be64 words[2] = {be64_make(entry.descriptor), be64_make(entry.bitmap)};
    RETURN_IF_FAILED(check->repair->may_change(check, QCOW2_CHECK_L2, walk->table_off, check->header->cluster_len,
                                               ret_is_done, error));
    if (!*ret_is_done) {
        return true;
    }
    check->result->corruptions_fixed++;
    return check->repair->store(check, walk->table_off + index * entry_len, words, entry_len, error);
}

/* Tells of an entry with an unaligned offset. *ret_is_gone: it has been repaired. */
static bool take_unaligned(struct l2_walk *walk, uint64_t index, uint64_t entry, uint64_t bitmap, bool *ret_is_gone,
                           struct error *error)
{
    struct qcow2_check *check = walk->check;
    uint64_t off = qcow2_l2_off(entry);
    bool has_data = qcow2_l2_data_bits(check->header, (struct qcow2_l2_entry){entry, bitmap}) != 0;
    *ret_is_gone = false;
    if (!has_data && qcow2_check_repairs_errors(check)) {
        RETURN_IF_FAILED(repair_unaligned(walk, index, bitmap, ret_is_gone, error));
    }
    if (*ret_is_gone) {
        check_finding(&check->findings,
                      "Repairing offset=%" PRIx64 ": Preallocated cluster is not properly aligned; L2 entry corrupted.",
                      off);
    } else {
        qcow2_check_corruption(check, "ERROR offset=%" PRIx64 ": %s is not properly aligned; L2 entry corrupted.", off,
                               has_data ? "Data cluster" : "Preallocated cluster");
    }
    return true;
}

/* A cluster with a place in the file (or in the data file). */
static bool count_allocated(struct l2_walk *walk, uint64_t index, uint64_t entry, uint64_t bitmap, struct error *error)
{
    struct qcow2_check *check = walk->check;
    uint64_t off = qcow2_l2_off(entry);
    if ((qcow2_l2_bitmap_zero(bitmap) & qcow2_l2_bitmap_data(bitmap)) != 0) {
        qcow2_check_corruption(
            check, "ERROR offset=%" PRIx64 ": Allocated cluster has corrupted subcluster allocation bitmap", off);
    }
    if ((off & (check->header->cluster_len - 1)) != 0) {
        bool is_gone;
        RETURN_IF_FAILED(take_unaligned(walk, index, entry, bitmap, &is_gone, error));
        if (is_gone) {
            return true;
        }
    }
    if (counts_clusters(walk)) {
        check->result->allocated_clusters++;
        if (walk->next_off != 0 && off != walk->next_off) {
            check->result->fragmented_clusters++;
        }
        walk->next_off = off + check->header->cluster_len;
    }
    return qcow2_has_data_file(check->header) || qcow2_check_count_range(check, off, check->header->cluster_len, error);
}

/* An entry that is not 0. */
static bool count_entry(struct l2_walk *walk, uint64_t index, uint64_t entry, uint64_t bitmap, struct error *error)
{
    struct qcow2_check *check = walk->check;
    enum qcow2_l2_type type = qcow2_l2_type_of(check->header, entry);
    if (type == QCOW2_L2_COMPRESSED) {
        return count_compressed(walk, index, entry, bitmap, error);
    }
    if ((entry & QCOW2_L2_RESERVED_MASK) != 0) {
        qcow2_check_corruption(check, "ERROR found l2 entry with reserved bits set: %" PRIx64, entry);
    }
    if (type == QCOW2_L2_ALLOCATED) {
        return count_allocated(walk, index, entry, bitmap, error);
    }
    if (qcow2_l2_bitmap_data(bitmap) != 0) {
        qcow2_check_corruption(check, "ERROR: Unallocated cluster has non-zero subcluster allocation map");
    }
    return true;
}

static bool count_l2(struct l2_walk walk, const uint8_t *bytes, struct error *error)
{
    struct qcow2_check *check = walk.check;
    const struct be64 *words = (const struct be64 *)(const void *)bytes;
    uint64_t entry_count = 1ull << qcow2_l2_bits(check->header);
    bool is_extended = qcow2_has_extended_l2(check->header);
    for (uint64_t i = 0; i < entry_count; i++) {
        uint64_t entry = be64_get(words[is_extended ? 2 * i : i]);
        uint64_t bitmap = is_extended ? be64_get(words[2 * i + 1]) : 0;
        if ((entry | bitmap) != 0) {
            RETURN_IF_FAILED(count_entry(&walk, i, entry, bitmap, error));
        }
    }
    return true;
}

bool qcow2_check_count_l1(struct qcow2_check *check, uint64_t l1_off, uint64_t entry_count, bool is_active,
                          struct error *error)
{
    static struct qcow2_l2_stream stream; /* large */
    uint64_t len = entry_count * sizeof(struct be64);
    if (entry_count == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_check_count_range(check, l1_off, len, error));
    if (l1_off > FILE_END_MAX || len > FILE_END_MAX - l1_off) {
        check_finding(&check->findings, "ERROR: I/O error in check_refcounts_l1");
        return check_failed(error, "Input/output error");
    }
    qcow2_l2_stream_begin(&stream, check->image, l1_off, entry_count, check->buffer,
                          qcow2_check_stream_len(check, qcow2_check_repairs_errors(check)));
    const struct qcow2_l2_table *table;
    for (;;) { /* ends: an L1 table has QCOW2_L1_LEN_MAX bytes at most */
        RETURN_IF_FAILED(qcow2_l2_stream_next(&stream, &table, error));
        if (table == NULL) {
            return true;
        }
        uint64_t l2_off = table->l1_entry & QCOW2_L1_OFFSET_MASK;
        if ((table->l1_entry & QCOW2_L1_RESERVED_MASK) != 0) {
            qcow2_check_corruption(check, "ERROR found L1 entry with reserved bits set: %" PRIx64, table->l1_entry);
        }
        RETURN_IF_FAILED(qcow2_check_count_range(check, l2_off, check->header->cluster_len, error));
        if ((l2_off & (check->header->cluster_len - 1)) != 0) {
            qcow2_check_corruption(
                check, "ERROR l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted", l2_off);
        }
        struct l2_walk walk = {.check = check, .table_off = l2_off, .is_active = is_active};
        RETURN_IF_FAILED(count_l2(walk, table->bytes, error));
    }
}
