/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a conversion's bytes lie in, and who still works with it: a part of the reader's, or a unit. Units are
 * what the target stores or leaves out as a whole; where parts of the disk begin or end within one, it is put together
 * in a buffer of its own.
 */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_MEMORY_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "guest/operations/reader/reader.h"
#include "guest/runtime/arena.h"

struct convert_unit {
    uint8_t *data;
    uint32_t users;
    struct convert_unit *next_free;
};

struct convert_units {
    uint32_t unit_len; /* bytes */
    struct convert_unit *free;
};

struct convert_memory {
    struct reader *reader;
    struct reader_part part; /* if `unit` is NULL */
    struct convert_units *units;
    struct convert_unit *unit;
};

/* Buffers for a few units. False when the arena does not suffice. */
MUST_CHECK bool convert_units_init(struct convert_units *units, uint32_t unit_len, struct arena *arena);

/* One with one user; NULL: all are in use. */
struct convert_unit *convert_units_take(struct convert_units *units);

/* One user more, one less. */
void convert_memory_keep(const struct convert_memory *memory);
void convert_memory_release(const struct convert_memory *memory);

#endif
