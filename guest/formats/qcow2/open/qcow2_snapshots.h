/* SPDX-License-Identifier: Apache-2.0 */
/* Internal snapshots (qcow2.txt, "Snapshots"): the table, one entry after the other, as entries differ in length. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_SNAPSHOTS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_SNAPSHOTS_H

#include "guest/formats/qcow2/open/qcow2_image.h"

/* QEMU's limits: of the extra data of one entry, and of the table. */
#define QCOW2_SNAPSHOT_EXTRA_LEN_MAX 1024u
#define QCOW2_SNAPSHOT_TABLE_LEN_MAX (1024ull * QCOW2_SNAPSHOT_COUNT_MAX)

/* As much of ids and names as is kept: one byte more than anybody can ask for (SnapshotChoice). */
#define QCOW2_SNAPSHOT_TEXT_LEN 257u

/* Text of an entry: any bytes, up to a NUL as in QEMU. */
struct qcow2_snapshot_text {
    uint16_t len;
    uint8_t bytes[QCOW2_SNAPSHOT_TEXT_LEN];
};

struct qcow2_snapshot {
    struct qcow2_l1 l1; /* not checked: see qcow2_snapshot_check_l1 */
    struct qcow2_snapshot_text id;
    struct qcow2_snapshot_text name;
    uint32_t date_sec; /* since the Epoch */
    uint32_t date_nsec;
    uint64_t vm_clock_nsec;
    uint64_t vm_state_len; /* bytes */
    bool has_disk_len;
    uint64_t disk_len; /* bytes */
    bool has_icount;
    uint64_t icount;
    uint32_t extra_len; /* bytes of extra data, known and unknown */
};

/* A way through the table. */
struct qcow2_snapshot_walk {
    uint32_t index; /* of the next entry */
    uint64_t off;   /* where it is, before alignment; when all are read, the table's end */
};

struct qcow2_snapshot_walk qcow2_snapshot_walk_begin(const struct image *image);

/* Reads the next entry; index was less than header.snapshot_count. */
MUST_CHECK bool qcow2_snapshot_next(struct image *image, struct qcow2_snapshot_walk *walk,
                                    struct qcow2_snapshot *ret_snapshot, struct error *error);

/* Whether the snapshot's L1 table can be one. */
MUST_CHECK bool qcow2_snapshot_check_l1(const struct image *image, const struct qcow2_snapshot *snapshot,
                                        struct error *error);

/* Reads all entries, to see whether they can be read. */
MUST_CHECK bool qcow2_snapshots_check(struct image *image, struct error *error);

/* format.select_snapshot */
bool qcow2_select_snapshot(struct image *image, const instar_SnapshotChoice *choice, struct error *error);

/* Sends the list of info, if there are snapshots. */
MUST_CHECK bool qcow2_snapshots_describe(struct image *image, struct error *error);

#endif
