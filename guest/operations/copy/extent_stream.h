/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data and hole extents of a device's file, one after the other, asked for in batches. The next batch is
 * asked for while the current one is used, so that a fragmented file does not make its reader wait.
 */
#ifndef INSTAR_GUEST_OPERATIONS_COPY_EXTENT_STREAM_H
#define INSTAR_GUEST_OPERATIONS_COPY_EXTENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/runtime/arena.h"

/* The device's answer: a head and as many extents as fit. */
#define EXTENT_ANSWER_LEN 4096u
#define EXTENT_BATCH_MAX \
    ((EXTENT_ANSWER_LEN - sizeof(struct virtio_blk_extents_head)) / sizeof(struct virtio_blk_extent))

enum extent_stream_state {
    EXTENT_STREAM_IDLE,     /* the next batch is to be asked for */
    EXTENT_STREAM_ASKED,    /* the device is at it */
    EXTENT_STREAM_ANSWERED, /* the answer waits until the current batch is used up */
    EXTENT_STREAM_ENDED,    /* the last batch reaches the end of the file */
};

struct extent_stream {
    struct virtio_blk *blk;
    uint16_t queue_index;
    enum extent_stream_state state;
    uint64_t asked_off; /* of the batch after the current one */
    struct virtio_blk_request *request;
    void *answer;
    struct virtio_blk_extent *batch; /* a checked copy of the last answer */
    uint32_t count;
    uint32_t next;
};

/* From the start of the file. False when memory does not suffice. */
MUST_CHECK bool extent_stream_init(struct extent_stream *stream, struct virtio_blk *blk, uint16_t queue_index,
                                   struct arena *arena);

/* Asks for the next batch if that is due and the queue has room. The caller kicks the queue. */
void extent_stream_ask(struct extent_stream *stream);

/* The stream's request was reaped. */
void extent_stream_answered(struct extent_stream *stream);

/*
 * Sets *ret_found, and *ret_extent if that is true: false means that the answer is still on its way, or that
 * the file has ended. Extents follow each other without a gap; the first of a batch may begin before the end
 * of the one before it.
 */
bool extent_stream_next(struct extent_stream *stream, struct virtio_blk_extent *ret_extent, bool *ret_found,
                        struct error *error);

#endif
