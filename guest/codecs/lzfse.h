/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZFSE, of disk images since macOS 10.11: our own decoder. There is no specification; the format is as other decoders
 * read it. A stream consists of blocks, up to one that only says "bvx$":
 *
 *     "bvx-"  plain bytes
 *     "bvxn"  LZVN (lzvn.h): what is short
 *     "bvx2"  literals, and triples of literal count, match length and distance, each with a finite state entropy code
 *             (lzfse_block.h)
 *     "bvx1"  the same with a plain head, which the encoder that all use never makes
 */
#ifndef INSTAR_GUEST_CODECS_LZFSE_H
#define INSTAR_GUEST_CODECS_LZFSE_H

#include "base/attributes.h"
#include "base/stream_step.h"
#include "guest/codecs/lz_window.h"
#include "guest/codecs/lzfse_block.h"
#include "guest/codecs/lzvn.h"

struct lzfse {
    struct lz_window window;
    uint32_t phase;                           /* lzfse.c */
    uint32_t have_len;                        /* of a head */
    uint8_t head[LZFSE_BLOCK_PLAIN_HEAD_LEN]; /* the longest one */
    uint32_t left_len;                        /* bytes that the block has still to make */
    struct lzvn lzvn;
    struct lzfse_block block;
};

#define LZFSE_STATE_LEN ((uint32_t)sizeof(struct lzfse))

/* False when the stream is damaged. On any vCPU. */
MUST_CHECK bool lzfse_step(struct stream_step *step, void *state);

#endif
