/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record, of bounded length, of what was changed on a disk. When there is no room for another stretch, neighbours
 * with short gaps between them become one: the record then has more than was changed, never less.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_DIRTY_RANGES_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_DIRTY_RANGES_H

#include <stdint.h>

#define QCOW2_DIRTY_RANGES_MAX 4096u

/* Bytes of the disk. */
struct qcow2_dirty_range {
    uint64_t voff;
    uint64_t end_voff;
};

struct qcow2_dirty_ranges {
    struct qcow2_dirty_range *stretches; /* in order; between two of them there is a gap */
    uint32_t count;
    uint32_t max;      /* there is memory for so many; 4 at least */
    uint64_t unit_len; /* stretches are made of whole units of this length, a power of two of 2^31 at most */
    uint64_t gap_len;  /* of gaps that are no longer kept, the longest one; 0: the record is exact, in units */
};

/* Notes `len` bytes, one at least, of a disk of 2^63 bytes at most. */
void qcow2_dirty_ranges_add(struct qcow2_dirty_ranges *changes, uint64_t voff, uint64_t len);

#endif
