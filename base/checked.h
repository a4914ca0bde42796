/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on untrusted numbers. Each function returns true and sets *ret_x when the result is exact, and
 * returns false and leaves it alone otherwise.
 */
#ifndef INSTAR_BASE_CHECKED_H
#define INSTAR_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"

static inline bool MUST_CHECK checked_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret_sum = sum;
    return true;
}

static inline bool MUST_CHECK checked_multiply(uint64_t a, uint64_t b, uint64_t *ret_product)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret_product = product;
    return true;
}

/* `unit` is a power of two. */
static inline bool MUST_CHECK checked_round_up(uint64_t value, uint64_t unit, uint64_t *ret_rounded)
{
    uint64_t sum;
    if (!checked_add(value, unit - 1, &sum)) {
        return false;
    }
    *ret_rounded = sum & ~(unit - 1);
    return true;
}

/* Whether [start, start + len) lies within [0, limit). An empty range at the limit does. */
static inline bool range_is_within(uint64_t start, uint64_t len, uint64_t limit)
{
    return start <= limit && len <= limit - start;
}

static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* For trusted values only: these cannot fail. `unit` is a power of two. */
static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

/* Rounds up without a check: the caller knows that value + unit - 1 fits. `unit` is a power of two. */
static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

/* Units that `value` takes, the last one perhaps in part. `unit` is anything but 0. */
static inline uint64_t divide_up(uint64_t value, uint64_t unit)
{
    return value / unit + (value % unit != 0);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
