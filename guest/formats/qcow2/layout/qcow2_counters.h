/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often clusters of an image file are referenced: one counter per cluster of a window of the file. What is counted
 * for clusters outside of the window is ignored; whoever needs those counts again counts with another window.
 *
 * Counters begin with one byte. When one of them is full, all of them become wider, and where the memory is too small
 * for that, the window becomes shorter: what is counted in it is exact at any time.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_COUNTERS_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"

struct qcow2_counters {
    uint64_t first; /* the window's first cluster */
    uint64_t count; /* clusters in it */
    uint8_t *memory;
    uint64_t memory_len; /* bytes */
    uint64_t max;        /* a counter that is here stays here: the image's refcounts have no higher number */
    uint32_t width;      /* bytes of a counter: 1, 2, 4 or 8 */
    uint8_t narrow_max;  /* as far as a counter of one byte goes */
};

/* `memory` has 8 bytes at least, and is aligned to 8. Refcounts of the image have 1 << refcount_order bits. */
void qcow2_counters_init(struct qcow2_counters *counters, void *memory, uint64_t memory_len, uint32_t refcount_order);

/* A window of zeros that begins at `first`, with `count` clusters, or as many as there is memory for. */
void qcow2_counters_begin(struct qcow2_counters *counters, uint64_t first, uint64_t count);

/* Whether counters become no wider and the window no shorter any more. */
bool qcow2_counters_are_final(const struct qcow2_counters *counters);

/* For clusters in the window, as index from its start. */
uint64_t qcow2_counters_get(const struct qcow2_counters *counters, uint64_t index);

/* Takes back one qcow2_counters_add that returned true. */
void qcow2_counters_subtract(struct qcow2_counters *counters, uint64_t cluster);

bool qcow2_counters_add_wide(struct qcow2_counters *counters, uint64_t index);

static inline bool qcow2_counters_has(const struct qcow2_counters *counters, uint64_t cluster)
{
    return cluster - counters->first < counters->count; /* before the window: wraps, is large */
}

/* Counts a reference. False when the counter is at its maximum already: it stays there. May make the window shorter. */
static inline bool qcow2_counters_add(struct qcow2_counters *counters, uint64_t cluster)
{
    uint64_t index = cluster - counters->first; /* before the window: wraps, is large */
    if (index >= counters->count) {
        return true;
    }
    if (counters->width == 1 && counters->memory[index] < counters->narrow_max) {
        counters->memory[index]++;
        return true;
    }
    return qcow2_counters_add_wide(counters, index);
}

#endif
