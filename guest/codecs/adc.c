/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/adc.h"

static bool put_token(struct adc *adc)
{
    const uint8_t *token = adc->token;
    adc->have_len = 0;
    if ((token[0] & 0x80) != 0) {
        return lz_window_put(&adc->window, (token[0] & 0x7fu) + 1, NULL, 0, 0);
    }
    if ((token[0] & 0x40) != 0) {
        return lz_window_put(&adc->window, 0, NULL, (token[0] & 0x3fu) + 4, ((uint32_t)token[1] << 8 | token[2]) + 1);
    }
    return lz_window_put(&adc->window, 0, NULL, (token[0] >> 2) + 3u, ((token[0] & 3u) << 8 | token[1]) + 1);
}

static uint32_t token_len(uint8_t first)
{
    return (first & 0x80) != 0 ? 1 : (first & 0x40) != 0 ? 3 : 2;
}

bool adc_step(struct stream_step *step, void *state)
{
    struct adc *adc = state;
    if (step->is_first) {
        lz_window_begin(&adc->window);
        adc->have_len = 0;
    }
    while (lz_window_run(&adc->window, step)) { /* ends: each round takes a token */
        if (!stream_step_collect(step, adc->token, &adc->have_len, 1) ||
            !stream_step_collect(step, adc->token, &adc->have_len, token_len(adc->token[0]))) {
            /* Where the input ends between two tokens, the stream may. */
            step->is_finished = lz_window_send(&adc->window, step) && step->input_is_last && adc->have_len == 0;
            return true;
        }
        if (!put_token(adc)) {
            return false;
        }
    }
    return true;
}
