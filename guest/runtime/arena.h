/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the life of the program: taken from a region of data memory in one direction, never given back.
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

/* Bytes that are left behind the next address with this alignment. */
uint64_t arena_left(const struct arena *arena, uint64_t align);

#endif
