/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/layout/qcow2_dirty_ranges.h"

#include <stdbool.h>
#include <string.h>

#include "base/checked.h"

/* Pairs with gaps of gap_len bytes at most become one, as many as it takes to have `wanted_count` stretches. */
static void join_pairs(struct qcow2_dirty_ranges *changes, uint32_t wanted_count)
{
    struct qcow2_dirty_range *stretches = changes->stretches;
    uint32_t surplus = changes->count - wanted_count;
    uint32_t kept = 0;
    uint32_t i = 0;
    while (i < changes->count) { /* ends: each round takes a stretch at least */
        struct qcow2_dirty_range stretch = stretches[i++];
        if (surplus > 0 && i < changes->count && stretches[i].voff - stretch.end_voff <= changes->gap_len) {
            stretch.end_voff = stretches[i++].end_voff;
            surplus--;
        }
        stretches[kept++] = stretch;
    }
    changes->count = kept;
}

/* A quarter becomes free at once, so that this is seldom done. */
static void make_room(struct qcow2_dirty_ranges *changes)
{
    uint32_t wanted_count = changes->max / 4 * 3;
    while (changes->count > wanted_count) { /* ends: no disk has two gaps of 2^62 bytes */
        uint32_t count = changes->count;
        join_pairs(changes, wanted_count);
        if (changes->count == count) {
            changes->gap_len = changes->gap_len == 0 ? changes->unit_len : changes->gap_len * 2;
        }
    }
}

/* The first stretch that ends at voff or behind it. */
static uint32_t find(const struct qcow2_dirty_ranges *changes, uint64_t voff)
{
    uint32_t low = 0;
    uint32_t high = changes->count;
    while (low < high) { /* ends: the range is halved */
        uint32_t middle = (low + high) / 2;
        if (changes->stretches[middle].end_voff >= voff) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void qcow2_dirty_ranges_add(struct qcow2_dirty_ranges *changes, uint64_t voff, uint64_t len)
{
    struct qcow2_dirty_range *stretches = changes->stretches;
    struct qcow2_dirty_range added = {round_down(voff, changes->unit_len), round_up(voff + len, changes->unit_len)};
    uint32_t first = find(changes, added.voff);
    uint32_t next = first;
    while (next < changes->count && stretches[next].voff <= added.end_voff) {
        next++;
    }
    if (next > first) { /* these, and what is added, become one */
        stretches[first].voff = min_u64(stretches[first].voff, added.voff);
        stretches[first].end_voff = max_u64(stretches[next - 1].end_voff, added.end_voff);
        memmove(stretches + first + 1, stretches + next, (changes->count - next) * sizeof(*stretches));
        changes->count -= next - first - 1;
        return;
    }
    memmove(stretches + first + 1, stretches + first, (changes->count - first) * sizeof(*stretches));
    stretches[first] = added;
    changes->count++;
    if (changes->count == changes->max) {
        make_room(changes);
    }
}
