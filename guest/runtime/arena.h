/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the life of the program: taken from a region of data memory in one direction, and not given back, but for
 * the piece that was taken last.
 * It is zero when it is handed out, and devices may reach it.
 */
#ifndef INSTAR_GUEST_RUNTIME_ARENA_H
#define INSTAR_GUEST_RUNTIME_ARENA_H

#include <stdint.h>

#include "base/attributes.h"

struct arena {
    uint64_t next_gpa;
    uint64_t end_gpa;
};

/* The region must be zero; [gpa, gpa + len) must not wrap. */
void arena_init(struct arena *arena, uint64_t gpa, uint64_t len);

/* `align` is a power of two. NULL when the rest of the arena is too small. */
MUST_CHECK void *arena_allocate(struct arena *arena, uint64_t len, uint64_t align);

/*
 * Gives back what was allocated last, [memory, memory + len), which is zeros again. With any other memory nothing
 * happens.
 */
void arena_give_back(struct arena *arena, const void *memory, uint64_t len);

/* Bytes that are left behind the next address with this alignment. */
uint64_t arena_left(const struct arena *arena, uint64_t align);

#endif
