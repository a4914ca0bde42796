/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a copy has to do, in the order of the input's offsets: the data and hole extents of its file become
 * pieces that follow each other without a gap or an overlap, cut to what one transfer takes.
 *
 * Pieces begin and end at whole sectors of the input; where an extent does not, the sector belongs to the
 * data, so that no byte of data is taken for a hole. The input's end is rounded up to 512 bytes, the unit of
 * the devices.
 */
#ifndef INSTAR_GUEST_OPERATIONS_COPY_COPY_PLAN_H
#define INSTAR_GUEST_OPERATIONS_COPY_COPY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum copy_kind {
    COPY_DATA,
    COPY_HOLE,
};

struct copy_piece {
    enum copy_kind kind;
    uint64_t off;
    uint64_t len;
};

struct copy_plan {
    uint64_t input_len; /* bytes, exact */
    uint64_t sector_len;
    uint64_t end_off;        /* of the input, in whole sectors of 512 bytes */
    uint64_t extent_end_off; /* where the extent that is being cut ends, rounded */
    uint64_t next_off;       /* all before this is handed out */
    enum copy_kind kind;     /* of the extent that is being cut */
};

/* `sector_len` is a power of two, 512 at least. */
void copy_plan_init(struct copy_plan *plan, uint64_t input_len, uint64_t sector_len);

/* The input's next extent, which begins where the last one ended; only while copy_plan_wants_extent. */
void copy_plan_add_extent(struct copy_plan *plan, enum copy_kind kind, uint64_t end_off);

/* Whether all that was added has been handed out and the input does not end there. */
bool copy_plan_wants_extent(const struct copy_plan *plan);

/* Whether the whole input has been handed out. */
bool copy_plan_is_finished(const struct copy_plan *plan);

/*
 * The next piece: data up to the next multiple of `data_len`, a power of two; of a hole, `hole_len` bytes at
 * most. False when an extent is wanted, or the plan is finished.
 */
bool copy_plan_next(struct copy_plan *plan, uint64_t data_len, uint64_t hole_len, struct copy_piece *ret_piece);

#endif
