/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot table, and the L1 tables of snapshots. */
#include <inttypes.h>

#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"

#define ENTRY_LEN_MIN 40ull /* without extra data, id and name */
#define EXTRA_LEN_V3 16u    /* what version 3 asks for at least: two lengths */

#define SNAPSHOT_FINDING "ERROR snapshot %.*s (%.*s) "

bool qcow2_check_read_snapshots(struct qcow2_check *check, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    const struct qcow2_header *header = check->header;
    RETURN_IF_FAILED(qcow2_table_check(header, header->snapshots_off, header->snapshot_count, ENTRY_LEN_MIN,
                                       ENTRY_LEN_MIN * QCOW2_SNAPSHOT_COUNT_MAX, "snapshot table", error));
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(check->image);
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        RETURN_IF_FAILED(qcow2_snapshot_next(check->image, &walk, &snapshot, error));
        if (header->version >= 3 && snapshot.extra_len < EXTRA_LEN_V3) {
            check->result->corruptions++;
            check->snapshot_corruptions++;
            check_finding(&check->findings, "%s snapshot table entry %" PRIu32 " is incomplete",
                          check->repair != NULL && check->repair->fixes_errors ? "Repairing" : "ERROR", i);
        }
    }
    if (walk.off > FILE_END_MAX) {
        return check_failed(error, "Input/output error");
    }
    check->snapshots_len = walk.off - header->snapshots_off;
    return true;
}

static bool count_snapshot(struct qcow2_check *check, const struct qcow2_snapshot *snapshot, struct error *error)
{
    const char *id = (const char *)snapshot->id.bytes;
    const char *name = (const char *)snapshot->name.bytes;
    if ((snapshot->l1.off & (check->header->cluster_len - 1)) != 0) {
        qcow2_check_corruption(check,
                               SNAPSHOT_FINDING "l1_offset=%#" PRIx64
                                                ": L1 table is not cluster aligned; snapshot table entry corrupted",
                               snapshot->id.len, id, snapshot->name.len, name, snapshot->l1.off);
        return true;
    }
    if (snapshot->l1.entry_count > QCOW2_L1_LEN_MAX / sizeof(uint64_t)) {
        qcow2_check_corruption(
            check, SNAPSHOT_FINDING "l1_size=%#" PRIx32 ": L1 table is too large; snapshot table entry corrupted",
            snapshot->id.len, id, snapshot->name.len, name, snapshot->l1.entry_count);
        return true;
    }
    return qcow2_check_count_l1(check, snapshot->l1.off, snapshot->l1.entry_count, false, error);
}

bool qcow2_check_count_snapshots(struct qcow2_check *check, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    const struct qcow2_header *header = check->header;
    if (qcow2_has_data_file(header) && header->snapshot_count > 0) {
        qcow2_check_corruption(check, "ERROR %" PRIu32 " snapshots in image with data file", header->snapshot_count);
    }
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(check->image);
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        RETURN_IF_FAILED(qcow2_snapshot_next(check->image, &walk, &snapshot, error));
        RETURN_IF_FAILED(count_snapshot(check, &snapshot, error));
    }
    return qcow2_check_count_range(check, header->snapshots_off, check->snapshots_len, error);
}
