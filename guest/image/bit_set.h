/* SPDX-License-Identifier: Apache-2.0 */
/* A set of numbers below a bound, a bit each: what a check has seen already. Its memory is the arena's. */
#ifndef INSTAR_GUEST_IMAGE_BIT_SET_H
#define INSTAR_GUEST_IMAGE_BIT_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/runtime/arena.h"

struct bit_set {
    uint64_t *words;
    uint64_t count;
};

/* Of the numbers below `count`, none. An error (ERROR_LIMIT) when the arena has too little memory. */
MUST_CHECK static inline bool bit_set_make(struct bit_set *set, struct arena *arena, uint64_t count,
                                           struct error *error)
{
    set->count = count;
    set->words = arena_allocate(arena, (count / 64 + 1) * sizeof(uint64_t), sizeof(uint64_t));
    return set->words != NULL ||
           error_set(error, ERROR_LIMIT, NULL, "no memory is left to check %llu clusters", (unsigned long long)count);
}

/* Whether `number`, below the count, is in. */
static inline bool bit_set_has(const struct bit_set *set, uint64_t number)
{
    return (set->words[number / 64] >> number % 64 & 1) != 0;
}

/* Adds `number`, which is below the count; says whether it was in before. */
static inline bool bit_set_add(struct bit_set *set, uint64_t number)
{
    bool was_in = bit_set_has(set, number);
    set->words[number / 64] |= 1ull << number % 64;
    return was_in;
}

#endif
