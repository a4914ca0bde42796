/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZVN, a byte-oriented code of the LZ77 family, as it stands in LZFSE's blocks. An operation has a byte, sometimes one
 * or two more of lengths and distance, and then its literals:
 *
 *     LLMMMDDD DDDDDDDD           L literals, a match of M + 3, D back; D not above 1535: what is above means one of
 *     LLMMM111 DDDDDDDD DDDDDDDD      these, the distance's low byte first
 *     LLMMM110                        the same, as far back as the last match; L not 0
 *     101LLMMM DDDDDDMM DDDDDDDD  L literals, a match of M + 3, whose low bits are in the second byte, D back
 *     1110LLLL                    L literals;  11100000 LLLLLLLL: L + 16
 *     1111MMMM                    a match of M as far back as the last one;  11110000 MMMMMMMM: M + 16
 *     00000110 and 7 bytes more   the end
 *     00001110, 00010110          nothing
 *
 * Bytes that fit none of these, 00MMM110 otherwise, 0111xxxx and 1101xxxx, are no operations.
 */
#ifndef INSTAR_GUEST_CODECS_LZVN_H
#define INSTAR_GUEST_CODECS_LZVN_H

#include "base/attributes.h"
#include "base/stream_step.h"
#include "guest/codecs/lz_window.h"

#define LZVN_OPERATION_LEN_MAX 8u

struct lzvn {
    uint32_t payload_len; /* bytes of the block that are left */
    uint32_t left_len;    /* bytes that it has still to make */
    uint32_t distance;    /* of the last match; 0: none */
    uint32_t have_len;    /* of an operation */
    uint8_t operation[LZVN_OPERATION_LEN_MAX];
    bool is_finished;
};

/* A block of payload_len bytes that makes made_len. */
void lzvn_begin(struct lzvn *lzvn, uint32_t payload_len, uint32_t made_len);

/*
 * Takes the next operation and puts its sequence to the window, which is done with the one before. *ret_is_taken is
 * false when more input is wanted. False for damage.
 */
MUST_CHECK bool lzvn_next(struct lzvn *lzvn, struct lz_window *window, struct stream_step *step, bool *ret_is_taken);

#endif
