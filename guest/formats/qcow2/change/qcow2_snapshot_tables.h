/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a disk that begins to share clusters with a snapshot, or shares them no more: a new L1 table, and
 * copies of L2 tables in which QCOW2_COPIED is to change, at places of a shadow (qcow2_shadow.h).
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_SNAPSHOT_TABLES_H
#define INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_SNAPSHOT_TABLES_H

#include "guest/formats/qcow2/modify/qcow2_shadow.h"

enum qcow2_sharing {
    QCOW2_SHARES_MORE, /* all that the table leads to gets a reference more: nothing is its own any more */
    QCOW2_SHARES_LESS, /* `other` is given up: some may be its own again */
};

/*
 * Before the reference counts are written: an L1 table like `source`, with entries for all `count`, that leads to
 * new places where L2 tables will be copied. `other` is the snapshot's table with QCOW2_SHARES_LESS.
 */
MUST_CHECK bool qcow2_snapshot_tables_begin(struct qcow2_shadow *shadow, struct qcow2_l1 source, uint32_t count,
                                            enum qcow2_sharing sharing, struct qcow2_l1 other, struct qcow2_l1 *ret_l1,
                                            struct error *error);

/* After that: the copies, and QCOW2_COPIED in them and in the new table, by the new counts. */
MUST_CHECK bool qcow2_snapshot_tables_end(struct qcow2_shadow *shadow, struct qcow2_l1 source, struct qcow2_l1 l1,
                                          struct error *error);

/* Clears QCOW2_COPIED in the L2 tables of a snapshot, where they are: it tells nothing there. */
MUST_CHECK bool qcow2_snapshot_tables_clear(struct qcow2_shadow *shadow, struct qcow2_l1 l1, struct error *error);

#endif
