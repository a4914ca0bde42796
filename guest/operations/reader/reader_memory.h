/* SPDX-License-Identifier: Apache-2.0 */
/* How a reader shares its memory between slots, codecs' scratch and decoders of long units, by what images may have. */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_MEMORY_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "guest/operations/reader/reader.h"

/* A reader that has fewer stands still while one is being taken. */
#define READER_MEMORY_SLOT_COUNT_MIN 2u

/* Sets the shape of slots, and takes from the arena what all of them work with. False: there is too little. */
MUST_CHECK bool reader_memory_init(struct slot_environment *environment, const struct reader_setup *setup);

/* Bytes that a slot takes, by that shape. */
uint64_t reader_memory_slot_len(const struct slot_environment *environment);

#endif
