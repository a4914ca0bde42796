/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks on all vCPUs make of the pieces of a slot (reader_slot.h) whose reads have come: they decompress, decrypt,
 * move. */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_SLOT_WORK_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_SLOT_WORK_H

#include <stdint.h>

#include "guest/operations/reader/reader_slot.h"

/* Bytes of the file that a piece is made of; not of a long one. */
uint64_t slot_stream_len(const struct slot_piece *piece);

/* Where the read of a piece has brought them. */
uint8_t *slot_stream(const struct reader_slot *slot, const struct slot_piece *piece);

/* Hands out the pieces, in as many tasks as there may be, each with some work: the slot is working then. */
void slot_start_tasks(struct reader_slot *slot);

/* Why a piece could not be made, into the slot's error: tasks have no room for the reason, so it comes out again. */
void slot_find_reason(struct reader_slot *slot, struct slot_piece *piece);

#endif
