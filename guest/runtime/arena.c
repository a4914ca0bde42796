/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/arena.h"

#include <stddef.h>

#include "base/checked.h"

void arena_init(struct arena *arena, uint64_t gpa, uint64_t len)
{
    *arena = (struct arena){.next_gpa = gpa, .end_gpa = gpa + len};
}

uint64_t arena_left(const struct arena *arena, uint64_t align)
{
    uint64_t start_gpa;
    if (!checked_round_up(arena->next_gpa, align, &start_gpa) || start_gpa > arena->end_gpa) {
        return 0;
    }
    return arena->end_gpa - start_gpa;
}

void arena_give_back(struct arena *arena, const void *memory, uint64_t len)
{
    uint64_t start_gpa = (uint64_t)(uintptr_t)memory;
    if (start_gpa + len == arena->next_gpa) {
        arena->next_gpa = start_gpa;
    }
}

void *arena_allocate(struct arena *arena, uint64_t len, uint64_t align)
{
    if (!is_power_of_two(align) || len == 0 || len > arena_left(arena, align)) {
        return NULL;
    }
    uint64_t start_gpa = round_up(arena->next_gpa, align);
    arena->next_gpa = start_gpa + len;
    return (void *)(uintptr_t)start_gpa;
}
