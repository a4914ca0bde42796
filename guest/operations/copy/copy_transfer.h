/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The moving part of a copy: transfers, each with a buffer, that read a piece of the input and write it to
 * the output. Many are under way at once, and finish in any order.
 *
 * A transfer waits in the input's line until all its reads are submitted; when the last one is done it goes
 * to the output's line, until its writes are submitted; when the last one of these is done it is free again.
 * How many requests fit is the queues' business: transfer_issue submits from the front of both lines while
 * there is room.
 */
#ifndef INSTAR_GUEST_OPERATIONS_COPY_COPY_TRANSFER_H
#define INSTAR_GUEST_OPERATIONS_COPY_COPY_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/operations/copy/copy_plan.h"
#include "guest/operations/job/progress.h"
#include "guest/runtime/arena.h"

/* The one queue of each device that a copy uses. */
#define COPY_QUEUE 0u

struct copy_result {
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t bytes_zero; /* neither read nor written, or read and found to be zero */
};

struct transfer {
    struct transfer *next; /* in the line that it waits in */
    uint8_t *data;
    uint64_t off; /* of input and output */
    uint64_t len;
    uint64_t submitted_len; /* how far the reads, then the writes, have been submitted */
    uint64_t run_end;       /* writing: of the run of zeros or of data that is being submitted, from `off` */
    bool run_is_zero;
    bool is_writing;
    uint32_t in_flight; /* requests */
};

struct transfer_line {
    struct transfer *first;
    struct transfer *last;
};

/* A device, its unused requests, and the transfers that have requests for it to submit. */
struct transfer_side {
    struct virtio_blk *blk;
    uint64_t request_len; /* bytes of one read or write at most */
    struct virtio_blk_request **unused;
    uint32_t unused_count;
    struct transfer_line line;
};

struct transfers {
    struct transfer_side input;
    struct transfer_side output;
    struct transfer *free;
    uint32_t busy_count;
    uint64_t input_len;
    uint64_t buffer_len;  /* of each transfer, a power of two */
    uint64_t hole_len;    /* of a hole, this much goes into one transfer */
    uint64_t zeroing_len; /* bytes of one write_zeroes; 0: zeros are written as data */
    bool skips_zeros;     /* the output reads as zero where nothing was written */
    struct progress *progress;
    struct copy_result result;
};

struct transfers_setup {
    struct virtio_blk *input;
    struct virtio_blk *output;
    uint64_t buffer_len;  /* a power of two, a multiple of 4096 */
    uint64_t request_len; /* bytes of a request, a multiple of 512 */
    uint32_t count;       /* wanted; it becomes what the arena holds, 2 at least */
    struct progress *progress;
    struct arena *arena; /* the buffers take what is left of it: nothing else can be allocated afterwards */
};

bool transfers_init(struct transfers *transfers, const struct transfers_setup *setup, struct error *error);

/* Starts on a piece, in a free transfer if it needs one: transfers->free must not be NULL. */
void transfers_start(struct transfers *transfers, const struct copy_piece *piece);

/* Submits what there is room for. The caller kicks the queues. */
void transfers_issue(struct transfers *transfers);

/* A request of one side was reaped. */
bool transfers_complete(struct transfers *transfers, struct transfer_side *side, struct virtio_blk_request *request,
                        struct error *error);

#endif
