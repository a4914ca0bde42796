/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compressed unit that is too long to be held in memory, expanded from front to back: its stream goes in a buffer at
 * a time, and what comes out of it is taken piece by piece. Memory is the codec's state and two small buffers,
 * whatever the unit's length. Who reads on behind what was read last goes on there.
 *
 * Reading the stream is the caller's: it asks unit_stream_wants_input, and gives. Everything else is computation, on
 * any vCPU, but on one at a time.
 */
#ifndef INSTAR_GUEST_IMAGE_UNIT_STREAM_H
#define INSTAR_GUEST_IMAGE_UNIT_STREAM_H

#include "guest/image/image.h"

struct unit_stream {
    const struct image *image; /* whose unit it is; NULL: none yet */
    struct extent extent;      /* of that unit; which part of it, does not matter */
    uint64_t made_len;         /* bytes of the unit that have come out */
    uint64_t given_len;        /* bytes of its stream that have been read */
    struct span input;         /* of these, what the codec has not taken */
    bool is_first;             /* the codec was not called yet */
    bool is_finished;          /* the stream has ended where the unit does */
    bool has_failed;
    struct error error; /* of that */
    uint8_t *buffer;    /* for input */
    uint8_t *waste;     /* for what nobody wants */
    void *state;        /* the codec's, of state_len bytes */
    uint64_t state_len;
};

/* Whether a compressed extent is of a unit that is read this way, and not by format.decompress. */
static inline bool unit_is_long(const struct image *image, const struct extent *extent)
{
    return extent->kind == EXTENT_COMPRESSED && image_unit_len(image, extent) > FORMAT_CLUSTER_LEN_MAX;
}

/* Memory for any unit of images with this stream_state_len. False when the arena is too small. */
MUST_CHECK bool unit_stream_init(struct unit_stream *stream, struct arena *arena, uint64_t state_len);

/* The memory that unit_stream_init takes at most. */
uint64_t unit_stream_memory_len(uint64_t state_len);

/* Whether `extent` is of the unit that the stream is at. */
bool unit_stream_is_at(const struct unit_stream *stream, const struct image *image, const struct extent *extent);

/* Begins with a unit. An extent that cannot be of one is an error. */
MUST_CHECK bool unit_stream_begin(struct unit_stream *stream, const struct image *image, const struct extent *extent,
                                  struct error *error);

/* Whether nothing can be done without more input: then it is *ret_len bytes at *ret_off of stream->extent.file. */
bool unit_stream_wants_input(const struct unit_stream *stream, uint64_t *ret_off, uint64_t *ret_len);

/* These bytes have been read to stream->buffer. */
void unit_stream_give(struct unit_stream *stream, uint64_t len);

/*
 * Expands to `target` what the unit has from byte `off` to `off + len`, all that is before made_len being there
 * already; what is before `off` is thrown away. Whether all is done: if not, input is wanted, or has_failed is set. The
 * end of a unit is done when the stream has ended, too.
 */
bool unit_stream_expand(struct unit_stream *stream, uint64_t off, uint8_t *target, uint64_t len);

/* Whether all of an extent of the unit has come out. */
bool unit_stream_has(const struct unit_stream *stream, const struct extent *extent);

/* The same from the start, waiting for input, and from any place on: forwards it goes on, backwards it begins anew. */
MUST_CHECK bool unit_stream_read(struct unit_stream *stream, const struct image *image, const struct extent *extent,
                                 uint8_t *target, struct error *error);

#endif
