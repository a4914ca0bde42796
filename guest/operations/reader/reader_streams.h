/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's decoders of long units (unit_stream.h): each expands one unit, from slot to slot in the order of the
 * disk, and several expand the units that follow each other at the same time, as far as there are slots for what comes
 * out. vCPU 0 reads streams and hands out tasks; a task takes what there is of input, or fills a piece of a slot.
 */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_STREAMS_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_STREAMS_H

#include "guest/image/image.h"
#include "guest/image/io.h"
#include "guest/image/unit_stream.h"
#include "guest/runtime/workers.h"

#define READER_STREAMS_MAX 16u

struct slot_piece;
struct slot_environment;

struct reader_decoder {
    struct worker_task task; /* first, see run_task */
    struct unit_stream stream;
    struct io_request request;
    struct slot_environment *environment;
    struct slot_piece *first, *last; /* to be made, in the order of the disk; NULL: none */
    uint64_t planned_end;            /* voff: up to here pieces were added */
    uint64_t input_len;              /* of the request */
    bool is_reading;
    bool is_working;
    uint64_t last_use;
};

struct reader_streams {
    struct slot_environment *environment;
    struct reader_decoder *decoders;
    uint32_t count;
    uint64_t use_count;
    struct reader_decoder *chosen;
    struct error failure; /* why what was chosen has none */
};

struct reader_streams_setup {
    struct arena *arena;
    struct slot_environment *environment;
    uint64_t state_len;  /* of the codecs, at most */
    uint64_t memory_len; /* of the arena, at most, if that is enough for one */
    uint32_t vcpu_count;
};

/* As many decoders as there are vCPUs, or as the memory is for. False when it is not for one. */
MUST_CHECK bool reader_streams_init(struct reader_streams *streams, const struct reader_streams_setup *setup);

/* A decoder for a part of a long unit, which follows what was added of it so far. False: all are at work on others. */
bool reader_streams_choose(struct reader_streams *streams, const struct chain_extent *found);

/* The piece, in memory that stays, is the next one of the chosen decoder. False if there can be none for it. */
MUST_CHECK bool reader_streams_add(struct reader_streams *streams, struct slot_piece *piece, struct error *error);

/* Moves on what can be moved on, without waiting. */
void reader_streams_advance(struct reader_streams *streams);

#endif
