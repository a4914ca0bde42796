/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/layout/qcow2_counters.h"

#include <string.h>

#include "base/checked.h"

/* The highest number of a counter of `width` bytes. */
static uint64_t width_max(uint32_t width)
{
    return UINT64_MAX >> (64 - 8 * width);
}

void qcow2_counters_init(struct qcow2_counters *counters, void *memory, uint64_t memory_len, uint32_t refcount_order)
{
    uint64_t max = UINT64_MAX >> (64 - (1u << refcount_order));
    *counters = (struct qcow2_counters){
        .memory = memory,
        .memory_len = memory_len,
        .max = max,
        .width = 1,
        .narrow_max = (uint8_t)min_u64(max, UINT8_MAX),
    };
}

void qcow2_counters_begin(struct qcow2_counters *counters, uint64_t first, uint64_t count)
{
    counters->first = first;
    counters->count = min_u64(count, counters->memory_len);
    counters->width = 1;
    memset(counters->memory, 0, counters->count);
}

bool qcow2_counters_are_final(const struct qcow2_counters *counters)
{
    return width_max(counters->width) >= counters->max;
}

static uint64_t counter_get(const uint8_t *memory, uint32_t width, uint64_t index)
{
    switch (width) {
    case 1:
        return memory[index];
    case 2:
        return ((const uint16_t *)(const void *)memory)[index];
    case 4:
        return ((const uint32_t *)(const void *)memory)[index];
    default:
        return ((const uint64_t *)(const void *)memory)[index];
    }
}

static void counter_set(uint8_t *memory, uint32_t width, uint64_t index, uint64_t value)
{
    switch (width) {
    case 1:
        memory[index] = (uint8_t)value;
        break;
    case 2:
        ((uint16_t *)(void *)memory)[index] = (uint16_t)value;
        break;
    case 4:
        ((uint32_t *)(void *)memory)[index] = (uint32_t)value;
        break;
    default:
        ((uint64_t *)(void *)memory)[index] = value;
        break;
    }
}

/* Makes all counters twice as wide, in place: from the last to the first, as each one moves to higher addresses. */
static void counters_widen(struct qcow2_counters *counters)
{
    uint32_t width = counters->width * 2;
    counters->count = min_u64(counters->count, counters->memory_len / width);
    for (uint64_t i = counters->count; i > 0; i--) {
        counter_set(counters->memory, width, i - 1, counter_get(counters->memory, counters->width, i - 1));
    }
    counters->width = width;
}

uint64_t qcow2_counters_get(const struct qcow2_counters *counters, uint64_t index)
{
    return counter_get(counters->memory, counters->width, index);
}

/* The way for wide counters, and for those that are full; `index` is in the window. */
bool qcow2_counters_add_wide(struct qcow2_counters *counters, uint64_t index)
{
    uint64_t value = counter_get(counters->memory, counters->width, index);
    if (value == counters->max) {
        return false;
    }
    if (value == width_max(counters->width)) {
        counters_widen(counters);
        if (index >= counters->count) {
            return true;
        }
    }
    counter_set(counters->memory, counters->width, index, value + 1);
    return true;
}

void qcow2_counters_subtract(struct qcow2_counters *counters, uint64_t cluster)
{
    if (qcow2_counters_has(counters, cluster)) {
        uint64_t index = cluster - counters->first;
        uint64_t value = counter_get(counters->memory, counters->width, index);
        counter_set(counters->memory, counters->width, index, value - 1);
    }
}
