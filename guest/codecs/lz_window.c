/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/lz_window.h"

#include <stddef.h>

#include "base/checked.h"

void lz_window_begin(struct lz_window *window)
{
    memset(window, 0, offsetof(struct lz_window, bytes)); /* bytes that were not made are out of reach */
}

bool lz_window_put(struct lz_window *window, uint32_t literal_count, const uint8_t *literals, uint32_t match_len,
                   uint32_t distance)
{
    window->literal_count = literal_count;
    window->literals = literals;
    window->match_len = match_len;
    window->distance = distance;
    return match_len == 0 ||
           (distance > 0 && distance <= LZ_REACH && distance <= (uint64_t)window->made_len + literal_count);
}

bool lz_window_send(struct lz_window *window, struct stream_step *step)
{
    size_t len = (size_t)min_u64(window->made_len - window->sent_len, step->output_len);
    memcpy(step->output, window->bytes + window->sent_len, len);
    step->output += len;
    step->output_len -= len;
    window->sent_len += (uint32_t)len;
    return window->sent_len == window->made_len;
}

/* Room for what is made next; 0: the output has to take something first. */
static uint32_t room(struct lz_window *window, struct stream_step *step)
{
    if (window->made_len == LZ_WINDOW_LEN) {
        if (!lz_window_send(window, step)) {
            return 0;
        }
        memmove(window->bytes, window->bytes + LZ_WINDOW_LEN - LZ_REACH, LZ_REACH);
        window->made_len = LZ_REACH;
        window->sent_len = LZ_REACH;
    }
    return LZ_WINDOW_LEN - window->made_len;
}

static bool run_literals(struct lz_window *window, struct stream_step *step)
{
    while (window->literal_count > 0) { /* ends: each round makes some */
        uint64_t source_len = window->literals != NULL ? window->literal_count : step->input.len;
        uint32_t len = (uint32_t)min_u64(min_u64(window->literal_count, source_len), room(window, step));
        if (len == 0) {
            return false;
        }
        if (window->literals != NULL) {
            memcpy(window->bytes + window->made_len, window->literals, len);
            window->literals += len;
        } else {
            memcpy(window->bytes + window->made_len, step->input.data, len);
            stream_step_take(step, len);
        }
        window->made_len += len;
        window->literal_count -= len;
    }
    return true;
}

static bool run_match(struct lz_window *window, struct stream_step *step)
{
    while (window->match_len > 0) { /* ends: likewise */
        uint32_t len = (uint32_t)min_u64(window->match_len, room(window, step));
        if (len == 0) {
            return false;
        }
        uint8_t *target = window->bytes + window->made_len;
        const uint8_t *source = target - window->distance;
        if (window->distance >= len) {
            memcpy(target, source, len);
        } else {
            for (uint32_t i = 0; i < len; i++) { /* a match may reach into itself */
                target[i] = source[i];
            }
        }
        window->made_len += len;
        window->match_len -= len;
    }
    return true;
}

bool lz_window_run(struct lz_window *window, struct stream_step *step)
{
    bool is_done = run_literals(window, step) && run_match(window, step);
    if (!is_done) {
        (void)lz_window_send(window, step);
    }
    return is_done;
}
