/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/repair/qcow2_repair.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"

/* Features that are not known, and might say that something fits the image (qcow2.txt, "Autoclear features"). */
static bool clear_features(struct qcow2_repair *repair, struct error *error)
{
    struct qcow2_header *header = &repair->qcow2->header;
    uint64_t kept = header->autoclear_features & QCOW2_AUTOCLEAR_KNOWN;
    if (header->version < 3 || header->autoclear_features == kept) {
        return true;
    }
    header->autoclear_features = kept;
    return qcow2_repair_store_be64(repair, QCOW2_HEADER_OFF(autoclear_features), kept, error) &&
           qcow2_repair_flush(repair, error);
}

/* Of what is counted, without the snapshot table's own. */
static uint64_t corruption_count(const struct qcow2_check *check)
{
    return check->result->corruptions - check->snapshot_corruptions + check->mismatches.corruptions;
}

static void forget_clusters(instar_CheckMessage *result)
{
    result->allocated_clusters = result->fragmented_clusters = result->compressed_clusters = 0;
}

/* Sets a bit for each cluster of [first, first + count) that the refcount table of before and its blocks had. */
static bool mark_replaced(struct qcow2_check *check, const struct qcow2_header *old, uint64_t first, uint64_t count,
                          struct error *error)
{
    struct image *image = check->image;
    uint64_t table_len = qcow2_refcount_table_len(old);
    for (uint64_t done = 0; done < table_len;) { /* ends: a view has an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, old->refcount_table_off + done,
                                    table_len - done, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            uint64_t entry = be64_get(word);
            uint64_t block = (entry >> old->cluster_bits) - first;
            uint64_t table = ((old->refcount_table_off + done + at) >> old->cluster_bits) - first;
            if (entry != 0 && entry % old->cluster_len == 0 && block < count) {
                check->buffer[block / 8] |= (uint8_t)(1u << block % 8);
            }
            if (table < count) {
                check->buffer[table / 8] |= (uint8_t)(1u << table % 8);
            }
        }
        done += view.len;
    }
    return true;
}

/* QEMU frees what it has replaced after that, and tells of each cluster. Its new counts, and ours, do not have them. */
static bool tell_replaced(struct qcow2_check *check, const struct qcow2_header *old, uint64_t old_end,
                          struct error *error)
{
    uint64_t window = check->buffer_len * 8;
    for (uint64_t first = 0; first < old_end; first += window) {
        uint64_t count = min_u64(old_end - first, window);
        memset(check->buffer, 0, (size_t)((count + 7) / 8));
        RETURN_IF_FAILED(mark_replaced(check, old, first, count, error));
        for (uint64_t i = 0; i < count && check->findings.left > 0; i++) {
            uint64_t left = 0;
            if ((check->buffer[i / 8] >> i % 8 & 1) == 0) {
                continue;
            }
            if (qcow2_counters_has(&check->counters, first + i)) {
                left = qcow2_counters_get(&check->counters, first + i - check->counters.first);
            }
            check_finding(&check->findings, "Repairing cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
                          first + i, left + 1, left);
        }
    }
    return true;
}

static bool rebuild(struct qcow2_repair *repair, struct error *error)
{
    const struct qcow2_header old = repair->qcow2->header;
    uint64_t old_end = repair->check.cluster_count;
    struct qcow2_check *check = &repair->check;
    instar_CheckMessage *result = check->result;
    uint64_t old_corruptions = corruption_count(check);
    uint64_t old_leaks = check->mismatches.leaks;
    check_finding(&check->findings, "Rebuilding refcount structure");
    RETURN_IF_FAILED(qcow2_rebuild(repair, error));
    /* What is left is counted, and told once more: counts that could not be read are no more. */
    result->corruptions = check->snapshot_corruptions;
    forget_clusters(result);
    check->mismatches = (struct qcow2_mismatches){0};
    check->must_rebuild = check->has_unreadable_blocks = false;
    check->referenced_end = check->highest_cluster = 0;
    check->repair = NULL;
    RETURN_IF_FAILED(qcow2_check_measure(check, error));
    RETURN_IF_FAILED(qcow2_check_windows(check, false, error));
    RETURN_IF_FAILED(tell_replaced(check, &old, old_end, error));
    if (check->must_rebuild) {
        check_finding(&check->findings, "ERROR rebuilt refcount structure is still broken");
    }
    uint64_t corruptions = corruption_count(check);
    result->corruptions_fixed += corruptions < old_corruptions ? old_corruptions - corruptions : 0;
    result->leaks_fixed += old_leaks;
    return true;
}

static bool repair_counts(struct qcow2_repair *repair, struct error *error)
{
    struct qcow2_check *check = &repair->check;
    check->repair = &repair->operations;
    RETURN_IF_FAILED(qcow2_check_windows(check, false, error));
    if (check->must_rebuild && repair->operations.fixes_errors) {
        return rebuild(repair, error);
    }
    if (check->must_rebuild) {
        check_finding(&check->findings, "ERROR need to rebuild refcount structures");
        return check_failed(error, "Input/output error");
    }
    if (check->mismatches.leaks > 0 || corruption_count(check) > 0) {
        check->mismatches = (struct qcow2_mismatches){0};
        check->repairs_counts = true;
        RETURN_IF_FAILED(qcow2_check_windows(check, true, error));
        check->repairs_counts = false;
    }
    return true;
}

/* Nothing is wrong any more. */
static bool mark_sound(struct qcow2_repair *repair, struct error *error)
{
    struct qcow2_header *header = &repair->qcow2->header;
    uint64_t features = header->incompatible_features & ~(QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT);
    if (header->version < 3 || features == header->incompatible_features) {
        return true;
    }
    header->incompatible_features = features;
    repair->check.image->is_dirty = false;
    return qcow2_repair_store_be64(repair, QCOW2_HEADER_OFF(incompatible_features), features, error) &&
           qcow2_repair_flush(repair, error);
}

/*
 * After everything else, as the table gets a new place. What they lack until then is the length of the disk and of a
 * large state, nothing that keeps the image from being used.
 */
static bool complete_snapshots(struct qcow2_repair *repair, struct error *error)
{
    struct qcow2_check *check = &repair->check;
    if (check->snapshot_corruptions == 0 || !repair->operations.fixes_errors) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_complete_snapshots(check->image, error));
    check->result->corruptions_fixed += check->snapshot_corruptions;
    check->result->corruptions -= check->snapshot_corruptions;
    return true;
}

bool qcow2_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                  struct error *error)
{
    static struct qcow2_repair repair; /* large */
    struct qcow2_check *check = &repair.check;
    repair = (struct qcow2_repair){
        .operations =
            {
                .fixes_leaks = plan->fixes_leaks,
                .fixes_errors = plan->fixes_errors,
                .may_change = qcow2_repair_may_change,
                .write = qcow2_repair_check_write,
                .store = qcow2_repair_check_store,
            },
    };
    RETURN_IF_FAILED(qcow2_check_begin(image, plan->findings_max, &repair.operations, ret_result, check, error));
    RETURN_IF_FAILED(qcow2_repair_begin_writing(&repair, image, error));
    RETURN_IF_FAILED(clear_features(&repair, error));
    RETURN_IF_FAILED(!plan->fixes_errors || qcow2_repair_bitmaps(&repair, error));
    RETURN_IF_FAILED(repair_counts(&repair, error));
    RETURN_IF_FAILED(qcow2_repair_flush(&repair, error));
    qcow2_check_take_mismatches(check);
    check->repair = &repair.operations;
    repair.has_counts = true;
    RETURN_IF_FAILED(qcow2_check_copied(check, error));
    qcow2_check_end(check);
    RETURN_IF_FAILED(qcow2_repair_flush(&repair, error));
    bool has_other_errors = ret_result->check_errors > 0 || ret_result->corruptions > check->snapshot_corruptions;
    return has_other_errors || (mark_sound(&repair, error) && complete_snapshots(&repair, error));
}
