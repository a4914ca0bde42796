/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of L1 and L2 tables. Those of L2 tables change in memory, in slices; a checkpoint writes them.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_TABLES_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/qcow2/layout/qcow2_table_entry.h"

struct qcow2_modify;

/* Whether an L2 table may be at `off`, as entry `index` of an L1 table says. */
MUST_CHECK bool qcow2_modify_check_l2_off(const struct qcow2_modify *modify, uint64_t off, uint64_t index,
                                          struct error *error);

/*
 * Entries of the L1 table that lead nowhere, but have bits set, become 0. A check takes them for tables at offset 0, so
 * that what it finds there depends on every later change of the header.
 */
MUST_CHECK bool qcow2_modify_tidy_l1(struct qcow2_modify *modify, struct error *error);
/* Whether an L2 table, as it is in the file, has a descriptor of this sort (of subclusters, the bitmaps do not count).
 */
MUST_CHECK bool qcow2_modify_find_entry(struct qcow2_modify *modify, uint64_t l2_off,
                                        bool (*is_wanted)(uint64_t descriptor), bool *ret_has, struct error *error);

/* The entry of the cluster at `voff`; zeros where there is no table. */
MUST_CHECK bool qcow2_modify_get(struct qcow2_modify *modify, uint64_t voff, struct qcow2_l2_entry *ret_entry,
                                 struct error *error);
/* Makes sure that qcow2_modify_set works for the cluster at voff, until the next call for another one. */
MUST_CHECK bool qcow2_modify_prepare(struct qcow2_modify *modify, uint64_t voff, struct error *error);
/* After qcow2_modify_prepare. */
void qcow2_modify_set(struct qcow2_modify *modify, uint64_t voff, struct qcow2_l2_entry entry);
/*
 * After qcow2_modify_prepare, too: the clusters from voff on that have an entry of zeros get this one, up to end_voff,
 * and up to the end of what has been prepared. Where they end is returned.
 */
uint64_t qcow2_modify_fill(struct qcow2_modify *modify, uint64_t voff, uint64_t end_voff, struct qcow2_l2_entry entry);
/* Whether the disk has nothing at voff, and how far that goes: only by the L1 table. */
MUST_CHECK bool qcow2_modify_empty_len(struct qcow2_modify *modify, uint64_t voff, uint64_t *ret_len,
                                       struct error *error);
MUST_CHECK bool qcow2_modify_checkpoint(struct qcow2_modify *modify, struct error *error);
/*
 * Takes the L2 tables from entry `first` on away, with all that they lead to. It takes no room, also where snapshots
 * have them, too; where an entry makes no sense, nothing is changed. On stable storage afterwards.
 */
MUST_CHECK bool qcow2_modify_drop_tables(struct qcow2_modify *modify, uint64_t first, struct error *error);

#endif
