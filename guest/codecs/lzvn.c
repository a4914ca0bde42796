/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/lzvn.h"

#define OPERATION_END 0x06u

enum kind {
    KIND_NONE,    /* is no operation */
    KIND_NOTHING, /* is one, and does nothing */
    KIND_END,
    KIND_NEAR,   /* a distance of 11 bits */
    KIND_FAR,    /* of 16 */
    KIND_MIDDLE, /* of 14 */
    KIND_SAME,   /* that of the last match */
    KIND_MATCH,  /* likewise, without literals */
    KIND_MATCH_LONG,
    KIND_LITERALS,
    KIND_LITERALS_LONG,
};

static const uint8_t kind_lens[] = {
    [KIND_NONE] = 1,     [KIND_NOTHING] = 1,       [KIND_END] = LZVN_OPERATION_LEN_MAX,
    [KIND_NEAR] = 2,     [KIND_FAR] = 3,           [KIND_MIDDLE] = 3,
    [KIND_SAME] = 1,     [KIND_MATCH] = 1,         [KIND_MATCH_LONG] = 2,
    [KIND_LITERALS] = 1, [KIND_LITERALS_LONG] = 2,
};

static enum kind kind_of(uint8_t first)
{
    switch (first >> 4) {
    case 0x7:
    case 0xd:
        return KIND_NONE;
    case 0xa:
    case 0xb:
        return KIND_MIDDLE;
    case 0xe:
        return first == 0xe0 ? KIND_LITERALS_LONG : KIND_LITERALS;
    case 0xf:
        return first == 0xf0 ? KIND_MATCH_LONG : KIND_MATCH;
    default:
        break;
    }
    switch (first & 7) {
    case 6:
        if (first >= 0x40) {
            return KIND_SAME;
        }
        return first == OPERATION_END ? KIND_END : first == 0x0e || first == 0x16 ? KIND_NOTHING : KIND_NONE;
    case 7:
        return KIND_FAR;
    default:
        return KIND_NEAR;
    }
}

void lzvn_begin(struct lzvn *lzvn, uint32_t payload_len, uint32_t made_len)
{
    *lzvn = (struct lzvn){.payload_len = payload_len, .left_len = made_len};
}

/* What the operation means; a distance that it does not have stays what it was. */
static void parse(const uint8_t *operation, enum kind kind, uint32_t *ret_literals, uint32_t *ret_match,
                  uint32_t *distance)
{
    uint32_t first = operation[0];
    *ret_literals = first >> 6;
    *ret_match = (first >> 3 & 7) + 3;
    switch (kind) {
    case KIND_NEAR:
        *distance = (first & 7) << 8 | operation[1];
        break;
    case KIND_FAR:
        *distance = operation[1] | (uint32_t)operation[2] << 8;
        break;
    case KIND_MIDDLE:
        *ret_literals = first >> 3 & 3;
        *ret_match = ((first & 7) << 2 | (operation[1] & 3u)) + 3;
        *distance = operation[1] >> 2 | (uint32_t)operation[2] << 6;
        break;
    case KIND_MATCH:
        *ret_literals = 0;
        *ret_match = first & 15;
        break;
    case KIND_MATCH_LONG:
        *ret_literals = 0;
        *ret_match = operation[1] + 16u;
        break;
    case KIND_LITERALS:
        *ret_literals = first & 15;
        *ret_match = 0;
        break;
    case KIND_LITERALS_LONG:
        *ret_literals = operation[1] + 16u;
        *ret_match = 0;
        break;
    case KIND_NOTHING:
    case KIND_END:
    case KIND_NONE:
        *ret_literals = 0;
        *ret_match = 0;
        break;
    case KIND_SAME:
        break;
    }
}

bool lzvn_next(struct lzvn *lzvn, struct lz_window *window, struct stream_step *step, bool *ret_is_taken)
{
    uint32_t literals, match;
    uint32_t distance = lzvn->distance;
    *ret_is_taken = false;
    if (lzvn->payload_len == 0) {
        return false; /* no end */
    }
    if (!stream_step_collect(step, lzvn->operation, &lzvn->have_len, 1)) {
        return true;
    }
    enum kind kind = kind_of(lzvn->operation[0]);
    if (!stream_step_collect(step, lzvn->operation, &lzvn->have_len, kind_lens[kind])) {
        return true;
    }
    parse(lzvn->operation, kind, &literals, &match, &distance);
    lzvn->have_len = 0;
    *ret_is_taken = true;
    if (kind == KIND_NONE || kind_lens[kind] + literals > lzvn->payload_len || literals + match > lzvn->left_len) {
        return false;
    }
    lzvn->payload_len -= kind_lens[kind] + literals;
    lzvn->left_len -= literals + match;
    lzvn->distance = distance;
    lzvn->is_finished = kind == KIND_END;
    if (lzvn->is_finished && (lzvn->payload_len > 0 || lzvn->left_len > 0)) {
        return false;
    }
    return lz_window_put(window, literals, NULL, match, distance);
}
