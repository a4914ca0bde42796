/* SPDX-License-Identifier: Apache-2.0 */
/* Refcount blocks, as clusters that are referenced and as the counts that they store. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/units.h"
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

/*
 * A block outside of the file is one more reason for others. QEMU would make the file so long that the block is there,
 * however long that is.
 */
static void tell_outside(struct qcow2_check *check, const struct block_entry *entry)
{
    if (!qcow2_check_repairs_errors(check)) {
        qcow2_check_corruption(check, "ERROR refcount block %" PRIu64 " is outside image", entry->index);
        return;
    }
    check->must_rebuild = true;
    check->result->corruptions_fixed++;
    check_finding(&check->findings, "Repairing refcount block %" PRIu64 " is outside image", entry->index);
}

static void tell_unsound(struct qcow2_check *check, const struct block_entry *entry)
{
    if ((entry->value & QCOW2_REFCOUNT_RESERVED_MASK) != 0) {
        check->must_rebuild = true;
        qcow2_check_corruption(check, "ERROR refcount table entry %" PRIu64 " has reserved bits set", entry->index);
    } else if ((entry->off & (check->header->cluster_len - 1)) != 0) {
        check->must_rebuild = true;
        qcow2_check_corruption(
            check, "ERROR refcount block %" PRIu64 " is not cluster aligned; refcount table entry corrupted",
            entry->index);
    } else if (entry->cluster >= check->cluster_count) {
        tell_outside(check, entry);
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
                check->must_rebuild = true;
                qcow2_check_miscount(check, "ERROR refcount block %" PRIu64 " refcount=%" PRIu64, i, count);
            }
        }
    }
    return true;
}

/* A stored count is not what it should be. *ret_is_fixed: it is to become that. */
static void take_mismatch(struct qcow2_check *check, uint64_t cluster, uint64_t stored, uint64_t counted,
                          bool *ret_is_fixed)
{
    bool is_leak = stored > counted;
    const struct qcow2_check_repair *repair = check->repairs_counts ? check->repair : NULL;
    bool is_fixed = repair != NULL && stored != 0 && (is_leak ? repair->fixes_leaks : repair->fixes_errors);
    check->must_rebuild = check->must_rebuild || stored == 0;
    if (is_fixed) {
        check->result->leaks_fixed += is_leak;
        check->result->corruptions_fixed += !is_leak;
    } else {
        check->mismatches.leaks += is_leak;
        check->mismatches.corruptions += !is_leak;
    }
    check_finding(&check->findings, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
                  is_fixed  ? "Repairing"
                  : is_leak ? "Leaked"
                            : "ERROR",
                  cluster, stored, counted);
    *ret_is_fixed = is_fixed;
}

/* The stored counts of some clusters: a part of one block. */
struct stored_counts {
    uint64_t first; /* clusters */
    uint64_t end;
    uint8_t *block; /* whole; NULL: all counts are 0 */
    uint64_t block_off;
};

/* Compares with one block; repairs it in memory. *ret_dirty_end: behind the bytes that have changed. */
static void compare_block(struct qcow2_check *check, const struct stored_counts *stored, uint64_t *ret_dirty_off,
                          uint64_t *ret_dirty_end)
{
    uint32_t order = check->header->refcount_order;
    uint64_t block_mask = (1ull << qcow2_refcount_block_bits(check->header)) - 1;
    *ret_dirty_off = UINT64_MAX;
    *ret_dirty_end = 0;
    for (uint64_t cluster = stored->first; cluster < stored->end; cluster++) {
        uint64_t index = cluster & block_mask;
        uint64_t count = stored->block != NULL ? qcow2_refcount_get(stored->block, order, index) : 0;
        uint64_t counted = qcow2_counters_get(&check->counters, cluster - check->counters.first);
        bool is_fixed = false;
        if ((count | counted) != 0) {
            check->highest_cluster = max_u64(check->highest_cluster, cluster);
        }
        if (count != counted) {
            take_mismatch(check, cluster, count, counted, &is_fixed);
        }
        if (is_fixed) { /* then there is a block, as a count of it is not 0 */
            qcow2_refcount_set(stored->block, order, index, counted);
            *ret_dirty_off = min_u64(*ret_dirty_off, (index << order) / 8);
            *ret_dirty_end = ((index << order) / 8) + 8;
        }
    }
}

static bool compare_stored(struct qcow2_check *check, const struct stored_counts *stored, struct error *error)
{
    uint64_t dirty_off, dirty_end;
    RETURN_IF_FAILED(
        file_read(check->image->file, stored->block_off, stored->block, check->header->cluster_len, error));
    compare_block(check, stored, &dirty_off, &dirty_end);
    if (dirty_end == 0) {
        return true;
    }
    dirty_off = round_down(dirty_off, SECTOR_LEN);
    dirty_end = min_u64(round_up(dirty_end, SECTOR_LEN), check->header->cluster_len);
    return check->repair->write(check, stored->block_off + dirty_off, stored->block + dirty_off, dirty_end - dirty_off,
                                error);
}

static void tell_unreadable(struct qcow2_check *check, uint64_t first, uint64_t end)
{
    check->mismatches.check_errors += end - first;
    for (uint64_t cluster = first; cluster < end && check->findings.left > 0; cluster++) {
        check_finding(&check->findings, "Can't get refcount for cluster %" PRIu64 ": Input/output error", cluster);
    }
}

bool qcow2_check_compare(struct qcow2_check *check, struct error *error)
{
    uint32_t block_bits = qcow2_refcount_block_bits(check->header);
    uint64_t window_end = min_u64(check->counters.first + check->counters.count, check->cluster_count);
    struct stored_counts stored = {.first = check->counters.first};
    while (stored.first < window_end) { /* ends: a block has clusters */
        enum qcow2_refcount_block_kind kind;
        uint64_t index = stored.first >> block_bits;
        uint64_t dirty_off, dirty_end;
        stored.end = min_u64((index + 1) << block_bits, window_end);
        RETURN_IF_FAILED(qcow2_refcount_block(check->image, index, &kind, &stored.block_off, error));
        stored.block = kind == QCOW2_REFCOUNTS_STORED ? check->buffer : NULL;
        if (kind == QCOW2_REFCOUNTS_STORED) {
            RETURN_IF_FAILED(compare_stored(check, &stored, error));
        } else if (kind == QCOW2_REFCOUNTS_ZERO) {
            compare_block(check, &stored, &dirty_off, &dirty_end);
        } else {
            tell_unreadable(check, stored.first, stored.end);
        }
        stored.first = stored.end;
    }
    return true;
}
