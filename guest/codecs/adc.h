/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apple Data Compression, of early disk images. A stream has no head, no end mark and no checksum: tokens up to its
 * last byte. The first byte of a token says what it is:
 *
 *     1LLLLLLL                    L + 1 literals follow
 *     00LLLLDD DDDDDDDD           a match of L + 3 bytes, D + 1 bytes back
 *     01LLLLLL DDDDDDDD DDDDDDDD  a match of L + 4 bytes, D + 1 bytes back
 */
#ifndef INSTAR_GUEST_CODECS_ADC_H
#define INSTAR_GUEST_CODECS_ADC_H

#include "base/attributes.h"
#include "base/stream_step.h"
#include "guest/codecs/lz_window.h"

#define ADC_TOKEN_LEN_MAX 3u

struct adc {
    struct lz_window window;
    uint32_t have_len; /* of a token */
    uint8_t token[ADC_TOKEN_LEN_MAX];
};

#define ADC_STATE_LEN ((uint32_t)sizeof(struct adc))

/* False when the stream is damaged. On any vCPU. */
MUST_CHECK bool adc_step(struct stream_step *step, void *state);

#endif
