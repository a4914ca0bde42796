/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of L2 tables that are in memory while their entries change. What is dirty is not in the file yet: a checkpoint
 * writes it (qcow2_modify_checkpoint). No I/O.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_SLICES_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/runtime/arena.h"

#define QCOW2_SLICE_COUNT 8u
#define QCOW2_SLICE_LEN_MAX 65536u

struct qcow2_slice {
    uint64_t off; /* bytes in the file; 0: nothing is in it */
    bool is_dirty;
    uint64_t last_use;
    uint8_t *bytes; /* as many as all slices have */
};

struct qcow2_slices {
    struct qcow2_slice list[QCOW2_SLICE_COUNT];
    uint32_t len; /* bytes of each: a table, or QCOW2_SLICE_LEN_MAX of it */
    uint64_t use_count;
};

/* Takes memory of the arena, for tables of this length, a power of two. False: there is none. */
bool qcow2_slices_init(struct qcow2_slices *slices, struct arena *arena, uint32_t table_len);

/* The slice that begins at `off`, which is the last one in use now; NULL: it is not in memory. */
struct qcow2_slice *qcow2_slices_find(struct qcow2_slices *slices, uint64_t off);

/* The one that was in use the longest time ago, for something else to be in it. */
struct qcow2_slice *qcow2_slices_oldest(struct qcow2_slices *slices);

/* It is what is at `off` now, and the last one in use. */
void qcow2_slices_fill(struct qcow2_slices *slices, struct qcow2_slice *slice, uint64_t off);

/* Nothing of the file from `off` on, `len` bytes, is in memory any more: none of that is dirty. */
void qcow2_slices_forget(struct qcow2_slices *slices, uint64_t off, uint64_t len);

#endif
