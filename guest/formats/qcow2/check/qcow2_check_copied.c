/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QCOW2_COPIED says that the stored refcount of a cluster is exactly 1. To know that of every cluster, one bit each is
 * taken from the refcount blocks in their order first, in windows of the file, as a look at the block of each entry
 * would jump about on a fragmented image. The few entries whose flag does not fit the bit are looked at again.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

/* The stored counts of a window: which of them are 1. */
struct ones {
    struct qcow2_check *check;
    uint64_t first; /* clusters */
    uint64_t end;
    bool is_last; /* takes care of clusters that are in no window, too */
    bool repairs;
    uint8_t *bits;
};

static bool read_ones(struct ones *ones, struct error *error)
{
    struct qcow2_check *check = ones->check;
    const struct qcow2_header *header = check->header;
    uint32_t block_bits = qcow2_refcount_block_bits(header);
    uint64_t cluster = ones->first;
    memset(ones->bits, 0, (size_t)((ones->end - ones->first + 7) / 8));
    while (cluster < ones->end) { /* ends: a block has clusters */
        enum qcow2_refcount_block_kind kind;
        uint64_t block_off;
        uint64_t index = cluster >> block_bits;
        uint64_t block_end = min_u64((index + 1) << block_bits, ones->end);
        RETURN_IF_FAILED(qcow2_refcount_block(check->image, index, &kind, &block_off, error));
        if (kind == QCOW2_REFCOUNTS_STORED) {
            RETURN_IF_FAILED(file_read(check->image->file, block_off, check->buffer, header->cluster_len, error));
            for (; cluster < block_end; cluster++) {
                uint64_t in_block = cluster & ((1ull << block_bits) - 1);
                bool is_one = qcow2_refcount_get(check->buffer, header->refcount_order, in_block) == 1;
                uint64_t bit = cluster - ones->first;
                ones->bits[bit / 8] |= (uint8_t)(is_one << (bit % 8));
            }
        }
        cluster = block_end;
    }
    return true;
}

static bool ones_has(const struct ones *ones, uint64_t cluster)
{
    uint64_t bit = cluster - ones->first;
    return (ones->bits[bit / 8] >> (bit % 8) & 1) != 0;
}

/*
 * Whether the flag of an entry that leads to `cluster` is wrong, and the stored count. Entries that are another
 * window's business, and those whose count is unreadable, are not wrong.
 */
static bool flag_is_wrong(const struct ones *ones, uint64_t cluster, bool is_copied, uint64_t *ret_count,
                          bool *ret_is_wrong, struct error *error)
{
    bool is_known;
    *ret_is_wrong = false;
    if (cluster >= ones->first && cluster < ones->end) {
        if (ones_has(ones, cluster) == is_copied) {
            return true;
        }
    } else if (cluster < ones->check->cluster_count || !ones->is_last) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_refcount_of(ones->check->image, cluster, ret_count, &is_known, error));
    *ret_is_wrong = is_known && (*ret_count == 1) != is_copied;
    return true;
}

/* Whether the flag of an entry of an L2 table is wrong, and the stored count. */
static bool entry_is_wrong(const struct ones *ones, uint64_t entry, uint64_t *ret_count, bool *ret_is_wrong,
                           struct error *error)
{
    struct qcow2_check *check = ones->check;
    bool is_copied = (entry & QCOW2_COPIED) != 0;
    if (qcow2_has_data_file(check->header)) {
        *ret_count = 1;
        *ret_is_wrong = !is_copied && ones->is_last;
        return true;
    }
    return flag_is_wrong(ones, qcow2_l2_off(entry) >> check->header->cluster_bits, is_copied, ret_count, ret_is_wrong,
                         error);
}

/* Tells of a wrong flag, and whether it is repaired. */
static void take_wrong(const struct ones *ones, bool is_fixed, uint64_t entry, uint64_t count)
{
    struct qcow2_check *check = ones->check;
    check->result->corruptions += !is_fixed;
    check->result->corruptions_fixed += is_fixed;
    check_finding(&check->findings, "%s OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%" PRIu64,
                  is_fixed ? "Repairing" : "ERROR", entry, count);
}

static bool check_l2(const struct ones *ones, uint64_t off, uint8_t *bytes, struct error *error)
{
    struct qcow2_check *check = ones->check;
    const struct qcow2_header *header = check->header;
    struct be64 *words = (struct be64 *)(void *)bytes;
    uint64_t step = qcow2_has_extended_l2(header) ? 2 : 1;
    uint64_t word_count = step << qcow2_l2_bits(header);
    bool is_looked_at = !ones->repairs; /* whether the table may be changed */
    bool may_change = false;
    bool is_dirty = false;
    for (uint64_t i = 0; i < word_count; i += step) {
        uint64_t entry = be64_get(words[i]);
        uint64_t count;
        bool is_wrong;
        if (entry == 0 || qcow2_l2_type_of(header, entry) != QCOW2_L2_ALLOCATED) {
            continue;
        }
        RETURN_IF_FAILED(entry_is_wrong(ones, entry, &count, &is_wrong, error));
        if (!is_wrong) {
            continue;
        }
        if (!is_looked_at) {
            is_looked_at = true;
            RETURN_IF_FAILED(
                check->repair->may_change(check, QCOW2_CHECK_L2, off, header->cluster_len, &may_change, error));
        }
        take_wrong(ones, may_change, entry, count);
        if (may_change) {
            words[i] = be64_make(entry ^ QCOW2_COPIED);
            is_dirty = true;
        }
    }
    return !is_dirty || check->repair->write(check, off, bytes, header->cluster_len, error);
}

static bool check_l1_entry(const struct ones *ones, const struct qcow2_l2_table *table, struct error *error)
{
    struct qcow2_check *check = ones->check;
    uint64_t cluster = (table->l1_entry & QCOW2_L1_OFFSET_MASK) >> check->header->cluster_bits;
    bool is_wrong;
    uint64_t count;
    RETURN_IF_FAILED(flag_is_wrong(ones, cluster, (table->l1_entry & QCOW2_COPIED) != 0, &count, &is_wrong, error));
    if (!is_wrong) {
        return true;
    }
    uint64_t off = check->header->l1_off + table->index * sizeof(struct be64);
    bool is_fixed = false;
    RETURN_IF_FAILED(!ones->repairs ||
                     check->repair->may_change(check, QCOW2_CHECK_L1, off, sizeof(struct be64), &is_fixed, error));
    check->result->corruptions += !is_fixed;
    check->result->corruptions_fixed += is_fixed;
    check_finding(&check->findings,
                  "%s OFLAG_COPIED L2 cluster: l1_index=%" PRIu64 " l1_entry=%" PRIx64 " refcount=%" PRIu64,
                  is_fixed ? "Repairing" : "ERROR", table->index, table->l1_entry, count);
    struct be64 entry = be64_make(table->l1_entry ^ QCOW2_COPIED);
    return !is_fixed || check->repair->store(check, off, &entry, sizeof(entry), error);
}

static bool check_window(const struct ones *ones, struct error *error)
{
    static struct qcow2_l2_stream stream; /* large */
    struct qcow2_check *check = ones->check;
    qcow2_l2_stream_begin(&stream, check->image, check->header->l1_off, check->header->l1_entry_count, check->buffer,
                          qcow2_check_stream_len(check, ones->repairs));
    const struct qcow2_l2_table *table;
    for (;;) { /* ends: an L1 table has QCOW2_L1_LEN_MAX bytes at most */
        RETURN_IF_FAILED(qcow2_l2_stream_next(&stream, &table, error));
        if (table == NULL) {
            return true;
        }
        uint64_t l2_off = table->l1_entry & QCOW2_L1_OFFSET_MASK;
        uint64_t count;
        bool is_known = true;
        if (l2_off == 0) {
            continue;
        }
        if (check->has_unreadable_blocks) {
            RETURN_IF_FAILED(
                qcow2_refcount_of(check->image, l2_off >> check->header->cluster_bits, &count, &is_known, error));
        }
        if (is_known) { /* otherwise QEMU leaves the whole table out */
            RETURN_IF_FAILED(check_l1_entry(ones, table, error));
            RETURN_IF_FAILED(check_l2(ones, l2_off, table->bytes, error));
        }
    }
}

/* With nothing but leaks repaired, as QEMU does: only where the counts can be believed. */
static bool repairs_flags(const struct qcow2_check *check)
{
    const instar_CheckMessage *result = check->result;
    bool is_sound =
        result->check_errors == 0 && result->corruptions == check->snapshot_corruptions && result->leaks == 0;
    return check->repair != NULL && (check->repair->fixes_errors || (check->repair->fixes_leaks && is_sound));
}

bool qcow2_check_copied(struct qcow2_check *check, struct error *error)
{
    struct ones ones = {.check = check, .repairs = repairs_flags(check), .bits = check->counters.memory};
    uint64_t window_len = check->counters.memory_len * 8;
    do { /* ends: windows have clusters */
        ones.first = ones.end;
        ones.end += min_u64(window_len, check->cluster_count - ones.first);
        ones.is_last = ones.end == check->cluster_count;
        RETURN_IF_FAILED(read_ones(&ones, error));
        RETURN_IF_FAILED(check_window(&ones, error));
    } while (!ones.is_last);
    return true;
}
