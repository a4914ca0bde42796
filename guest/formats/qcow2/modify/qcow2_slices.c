/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_slices.h"

#include <stddef.h>

#define SLICE_ALIGN 4096u

bool qcow2_slices_init(struct qcow2_slices *slices, struct arena *arena, uint32_t table_len)
{
    *slices = (struct qcow2_slices){.len = table_len < QCOW2_SLICE_LEN_MAX ? table_len : QCOW2_SLICE_LEN_MAX};
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT; i++) {
        slices->list[i].bytes = arena_allocate(arena, slices->len, SLICE_ALIGN);
        if (slices->list[i].bytes == NULL) {
            return false;
        }
    }
    return true;
}

struct qcow2_slice *qcow2_slices_find(struct qcow2_slices *slices, uint64_t off)
{
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT; i++) {
        struct qcow2_slice *slice = &slices->list[i];
        if (slice->off == off) {
            slice->last_use = ++slices->use_count;
            return slice;
        }
    }
    return NULL;
}

struct qcow2_slice *qcow2_slices_oldest(struct qcow2_slices *slices)
{
    struct qcow2_slice *oldest = &slices->list[0];
    for (uint32_t i = 1; i < QCOW2_SLICE_COUNT; i++) {
        if (slices->list[i].last_use < oldest->last_use) {
            oldest = &slices->list[i];
        }
    }
    return oldest;
}

void qcow2_slices_fill(struct qcow2_slices *slices, struct qcow2_slice *slice, uint64_t off)
{
    slice->off = off;
    slice->last_use = ++slices->use_count;
}

void qcow2_slices_forget(struct qcow2_slices *slices, uint64_t off, uint64_t len)
{
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT; i++) {
        struct qcow2_slice *slice = &slices->list[i];
        if (slice->off != 0 && slice->off - off < len) {
            slice->off = 0;
        }
    }
}
