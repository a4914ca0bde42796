/* SPDX-License-Identifier: Apache-2.0 */
/* Refcount blocks, as clusters that are referenced and as the counts that they store. */
#include <inttypes.h>

#include "base/checked.h"
#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

/* An entry of the refcount table, and what it leads to. */
struct block_entry {
    uint64_t index;
    uint64_t value;
    uint64_t off;
    uint64_t cluster;
};

static bool entry_read(struct qcow2_check *check, uint64_t index, struct block_entry *ret_entry, struct error *error)
{
    uint64_t value;
    RETURN_IF_FAILED(cache_read_be64(check->image->environment->cache, check->image->file,
                                     check->header->refcount_table_off + index * sizeof(value), &value, error));
    uint64_t off = value & QCOW2_REFCOUNT_OFFSET_MASK;
    *ret_entry = (struct block_entry){index, value, off, off >> check->header->cluster_bits};
    return true;
}

/* Whether the block that an entry leads to is counted as a reference. */
static bool entry_is_sound(const struct qcow2_check *check, const struct block_entry *entry)
{
    return entry->off != 0 && (entry->value & QCOW2_REFCOUNT_RESERVED_MASK) == 0 &&
           (entry->off & (check->header->cluster_len - 1)) == 0 && entry->cluster < check->cluster_count;
}

static void tell_unsound(struct qcow2_check *check, const struct block_entry *entry)
{
    if ((entry->value & QCOW2_REFCOUNT_RESERVED_MASK) != 0) {
        qcow2_check_corruption(check, "ERROR refcount table entry %" PRIu64 " has reserved bits set", entry->index);
    } else if ((entry->off & (check->header->cluster_len - 1)) != 0) {
        qcow2_check_corruption(
            check, "ERROR refcount block %" PRIu64 " is not cluster aligned; refcount table entry corrupted",
            entry->index);
    } else if (entry->cluster >= check->cluster_count) {
        qcow2_check_corruption(check, "ERROR refcount block %" PRIu64 " is outside image", entry->index);
    }
}

static uint64_t entry_count(const struct qcow2_check *check)
{
    return qcow2_refcount_table_len(check->header) / sizeof(uint64_t);
}

/*
 * Gives the counters the width that counting the blocks takes, and leaves their numbers as they were: what is told
 * about a block depends on its count then, so the window must not become shorter on the way, or it is told twice.
 */
static bool rehearse(struct qcow2_check *check, struct error *error)
{
    struct block_entry entry;
    uint64_t end = 0;
    /* A counter of final width may be at its maximum and not count on, which could not be taken back. */
    while (end < entry_count(check) && !qcow2_counters_are_final(&check->counters)) {
        RETURN_IF_FAILED(entry_read(check, end++, &entry, error));
        if (entry_is_sound(check, &entry)) {
            (void)qcow2_counters_add(&check->counters, entry.cluster);
        }
    }
    for (uint64_t i = 0; i < end; i++) {
        RETURN_IF_FAILED(entry_read(check, i, &entry, error));
        if (entry_is_sound(check, &entry)) {
            qcow2_counters_subtract(&check->counters, entry.cluster);
        }
    }
    return true;
}

bool qcow2_check_count_blocks(struct qcow2_check *check, struct error *error)
{
    RETURN_IF_FAILED(rehearse(check, error));
    for (uint64_t i = 0; i < entry_count(check); i++) {
        struct block_entry entry;
        RETURN_IF_FAILED(entry_read(check, i, &entry, error));
        if (!entry_is_sound(check, &entry)) {
            tell_unsound(check, &entry);
            check->has_unreadable_blocks |= entry.off != 0;
            continue;
        }
        qcow2_check_count_cluster(check, entry.cluster);
        if (qcow2_counters_has(&check->counters, entry.cluster)) {
            uint64_t count = qcow2_counters_get(&check->counters, entry.cluster - check->counters.first);
            if (count != 1) {
                check->result->corruptions++;
                check_finding(&check->findings, "ERROR refcount block %" PRIu64 " refcount=%" PRIu64, i, count);
            }
        }
    }
    return true;
}

static void compare_cluster(struct qcow2_check *check, uint64_t cluster, uint64_t stored, uint64_t counted)
{
    if (stored != 0 || counted != 0) {
        check->highest_cluster = max_u64(check->highest_cluster, cluster);
    }
    if (stored == counted) {
        return;
    }
    if (stored < counted) {
        check->result->corruptions++;
    } else {
        check->result->leaks++;
    }
    check_finding(&check->findings, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
                  stored < counted ? "ERROR" : "Leaked", cluster, stored, counted);
}

/* Compares with one block, of which `stored` has the counts; NULL: all are 0. */
static void compare_block(struct qcow2_check *check, uint64_t first, uint64_t end, const uint8_t *stored)
{
    uint32_t order = check->header->refcount_order;
    uint64_t block_mask = (1ull << qcow2_refcount_block_bits(check->header)) - 1;
    for (uint64_t cluster = first; cluster < end; cluster++) {
        uint64_t count = stored != NULL ? qcow2_refcount_get(stored, order, cluster & block_mask) : 0;
        uint64_t counted = qcow2_counters_get(&check->counters, cluster - check->counters.first);
        if ((count | counted) != 0) {
            compare_cluster(check, cluster, count, counted);
        }
    }
}

static void tell_unreadable(struct qcow2_check *check, uint64_t first, uint64_t end)
{
    check->result->check_errors += end - first;
    for (uint64_t cluster = first; cluster < end && check->findings.left > 0; cluster++) {
        check_finding(&check->findings, "Can't get refcount for cluster %" PRIu64 ": Input/output error", cluster);
    }
}

bool qcow2_check_compare(struct qcow2_check *check, struct error *error)
{
    uint32_t block_bits = qcow2_refcount_block_bits(check->header);
    uint64_t window_end = min_u64(check->counters.first + check->counters.count, check->cluster_count);
    uint64_t cluster = check->counters.first;
    while (cluster < window_end) { /* ends: a block has clusters */
        enum qcow2_refcount_block_kind kind;
        uint64_t block_off;
        uint64_t index = cluster >> block_bits;
        uint64_t end = min_u64((index + 1) << block_bits, window_end);
        RETURN_IF_FAILED(qcow2_refcount_block(check->image, index, &kind, &block_off, error));
        if (kind == QCOW2_REFCOUNTS_STORED) {
            RETURN_IF_FAILED(
                file_read(check->image->file, block_off, check->buffer, check->header->cluster_len, error));
            compare_block(check, cluster, end, check->buffer);
        } else if (kind == QCOW2_REFCOUNTS_ZERO) {
            compare_block(check, cluster, end, NULL);
        } else {
            tell_unreadable(check, cluster, end);
        }
        cluster = end;
    }
    return true;
}
