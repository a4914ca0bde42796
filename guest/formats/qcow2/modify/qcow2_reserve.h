/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters that are counted as used in the file, and are nobody's yet: so that counting costs a write for many of them.
 * A job that ends has leaked them at worst. No I/O: whoever fills the reserve has counted what he puts there.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_RESERVE_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

/* Clusters that are reserved at once: few at first, as most jobs that change an image change little. */
#define QCOW2_RESERVE_MIN 8u
#define QCOW2_RESERVE_MAX 1024u

struct qcow2_reserve {
    uint64_t next; /* clusters [next, end) */
    uint64_t end;
    uint64_t wanted; /* how many to reserve next time */
};

static inline struct qcow2_reserve qcow2_reserve_make(void)
{
    return (struct qcow2_reserve){.wanted = QCOW2_RESERVE_MIN};
}

static inline bool qcow2_reserve_is_empty(const struct qcow2_reserve *reserve)
{
    return reserve->next == reserve->end;
}

/* Into an empty one: these clusters. Next time it is to be twice as many as were wanted this time. */
void qcow2_reserve_fill(struct qcow2_reserve *reserve, uint64_t cluster, uint64_t count);

/* Up to `count` clusters out of it, one at least: *ret_cluster and those behind it. Returns how many. Not empty. */
uint64_t qcow2_reserve_take(struct qcow2_reserve *reserve, uint64_t count, uint64_t *ret_cluster);

#endif
