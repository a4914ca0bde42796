/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of an image that changes, the blocks that they are in, and the table of these. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_REFCOUNTS_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_REFCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

struct qcow2_modify;

/* Adds `change` to `count` counters, all of which are stored. They have room for it. */
MUST_CHECK bool qcow2_modify_count(struct qcow2_modify *modify, uint64_t cluster, uint64_t count, int64_t change,
                                   struct error *error);
/* There are counters for this cluster, or for some behind it, from now on. It is at append_next or behind it. */
MUST_CHECK bool qcow2_modify_make_counters(struct qcow2_modify *modify, uint64_t cluster, struct error *error);
/* Whether the refcount table has an entry that leads to no block. */
MUST_CHECK bool qcow2_modify_find_odd_blocks(struct qcow2_modify *modify, bool *ret_has, struct error *error);
/*
 * Of a device, how many clusters qcow2_modify_take would give out, one after the other, without those that it takes for
 * counters itself; it is not counted further than `enough`. Nothing has been released before.
 */
MUST_CHECK bool qcow2_modify_count_room(struct qcow2_modify *modify, uint64_t enough, uint64_t *ret_count,
                                        struct error *error);
/*
 * Takes blocks away, of those that lie at first_off of the file or behind it, that count nothing but themselves.
 * Nothing is under way, and nothing is allocated afterwards.
 */
MUST_CHECK bool qcow2_modify_drop_empty_blocks(struct qcow2_modify *modify, uint64_t first_off, struct error *error);
/* New blocks behind all others, and `count` clusters behind them, in one piece and with one reference each. */
MUST_CHECK bool qcow2_modify_make_region(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_cluster,
                                         struct error *error);

#endif
