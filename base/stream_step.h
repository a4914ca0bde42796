/* SPDX-License-Identifier: Apache-2.0 */
/* A step of a codec that expands a stream from front to back: what goes in, and room for what comes out. */
#ifndef INSTAR_BASE_STREAM_STEP_H
#define INSTAR_BASE_STREAM_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

/*
 * A step goes on until the input is taken, the output full, or the stream at its end. What makes no headway though
 * there is input and room is damage.
 */
struct stream_step {
    struct span input;  /* what was taken is taken off its front */
    bool input_is_last; /* the stream has nothing behind it */
    uint8_t *output;    /* where the next bytes go; moves on with them */
    size_t output_len;  /* room there; 0 where only the stream's end is left */
    bool is_first;      /* the codec's state has any content */
    bool is_finished;   /* set when the stream has ended */
};

/* `len` bytes of the input have been taken. */
static inline void stream_step_take(struct stream_step *step, size_t len)
{
    step->input = (struct span){step->input.data + len, step->input.len - len};
}

/* Collects a head of want_len bytes, *have_len of which have come, over several steps. False: more input is wanted. */
static inline bool stream_step_collect(struct stream_step *step, uint8_t *head, uint32_t *have_len, uint32_t want_len)
{
    if (*have_len < want_len) {
        size_t missing_len = want_len - *have_len;
        size_t len = missing_len < step->input.len ? missing_len : step->input.len;
        memcpy(head + *have_len, step->input.data, len);
        stream_step_take(step, len);
        *have_len += (uint32_t)len;
    }
    return *have_len >= want_len;
}

#endif
