/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decoders of the LZ77 family share: the bytes that were made last, which matches refer to, and the sequence that
 * is being carried out: literals, then a match. Both may stop at any byte, for want of input or of room.
 */
#ifndef INSTAR_GUEST_CODECS_LZ_WINDOW_H
#define INSTAR_GUEST_CODECS_LZ_WINDOW_H

#include "base/attributes.h"
#include "base/stream_step.h"

/* How far matches reach back at least. */
#define LZ_REACH 262144u
#define LZ_WINDOW_LEN (4 * LZ_REACH)

struct lz_window {
    uint32_t made_len;       /* of bytes: they end with what was made last */
    uint32_t sent_len;       /* of these, what has gone to outputs */
    uint32_t literal_count;  /* to come */
    const uint8_t *literals; /* from there; NULL: from the input */
    uint32_t match_len;      /* to come behind them */
    uint32_t distance;       /* of the match */
    uint8_t bytes[LZ_WINDOW_LEN];
};

void lz_window_begin(struct lz_window *window);

/*
 * The next sequence; what came before is done. False when the match begins before the first byte: that is damage.
 * `literals` stay until they are used.
 */
MUST_CHECK bool lz_window_put(struct lz_window *window, uint32_t literal_count, const uint8_t *literals,
                              uint32_t match_len, uint32_t distance);

/* Goes on with it, and sends what there is to the output. Whether the sequence is done. */
bool lz_window_run(struct lz_window *window, struct stream_step *step);

/* Sends what there is. Whether nothing is left. */
bool lz_window_send(struct lz_window *window, struct stream_step *step);

#endif
