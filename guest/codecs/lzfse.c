/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/lzfse.h"

#include "base/endian.h"
#include "base/error.h"

enum phase {
    PHASE_NAME, /* of a block */
    PHASE_PLAIN_HEAD,
    PHASE_PLAIN,
    PHASE_LZVN_HEAD,
    PHASE_LZVN,
    PHASE_HEAD, /* of "bvx2" */
    PHASE_TABLES,
    PHASE_OLD_HEAD, /* of "bvx1" */
    PHASE_PAYLOAD,
    PHASE_TRIPLES,
    PHASE_END,
};

#define NAME_LEN 4u
#define PLAIN_HEAD_LEN 8u
#define LZVN_HEAD_LEN 12u

static uint32_t head_word(const struct lzfse *lzfse, uint32_t off)
{
    struct le32 word;
    memcpy(&word, lzfse->head + off, sizeof(word));
    return le32_get(word);
}

static void end_block(struct lzfse *lzfse)
{
    lzfse->phase = PHASE_NAME;
    lzfse->have_len = 0;
}

static bool choose_block(struct lzfse *lzfse)
{
    static const struct {
        char name[NAME_LEN];
        enum phase phase;
    } kinds[] = {
        {{'b', 'v', 'x', '-'}, PHASE_PLAIN_HEAD}, {{'b', 'v', 'x', 'n'}, PHASE_LZVN_HEAD},
        {{'b', 'v', 'x', '2'}, PHASE_HEAD},       {{'b', 'v', 'x', '1'}, PHASE_OLD_HEAD},
        {{'b', 'v', 'x', '$'}, PHASE_END},
    };
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (memcmp(lzfse->head, kinds[i].name, NAME_LEN) == 0) {
            lzfse->phase = kinds[i].phase;
            return true;
        }
    }
    return false;
}

/* What the phase collects, and where to. */
static uint32_t collected_len(struct lzfse *lzfse, uint8_t **ret_target)
{
    static const uint16_t lens[] = {
        [PHASE_NAME] = NAME_LEN,
        [PHASE_PLAIN_HEAD] = PLAIN_HEAD_LEN,
        [PHASE_LZVN_HEAD] = LZVN_HEAD_LEN,
        [PHASE_HEAD] = LZFSE_BLOCK_HEAD_LEN,
        [PHASE_OLD_HEAD] = LZFSE_BLOCK_PLAIN_HEAD_LEN,
    };
    const struct lzfse_block *block = &lzfse->block;
    *ret_target = lzfse->phase == PHASE_PAYLOAD ? lzfse->block.payload : lzfse->head;
    if (lzfse->phase == PHASE_PAYLOAD) {
        return block->literals_len + block->triples_len;
    }
    return lzfse->phase == PHASE_TABLES ? block->head_len : lens[lzfse->phase];
}

/* Heads, tables and the payload are collected. Sets *ret_goes_on when there is something to do. */
static bool run_head(struct lzfse *lzfse, struct stream_step *step, bool *ret_goes_on)
{
    struct lzfse_block *block = &lzfse->block;
    uint8_t *target;
    uint32_t want_len = collected_len(lzfse, &target);
    *ret_goes_on = stream_step_collect(step, target, &lzfse->have_len, want_len);
    if (!*ret_goes_on) {
        return true;
    }
    switch (lzfse->phase) {
    case PHASE_NAME:
        return choose_block(lzfse);
    case PHASE_PLAIN_HEAD:
        lzfse->phase = PHASE_PLAIN;
        return lz_window_put(&lzfse->window, head_word(lzfse, 4), NULL, 0, 0);
    case PHASE_LZVN_HEAD:
        lzvn_begin(&lzfse->lzvn, head_word(lzfse, 8), head_word(lzfse, 4));
        lzfse->phase = PHASE_LZVN;
        return true;
    case PHASE_HEAD:
        lzfse->phase = PHASE_TABLES;
        return lzfse_block_parse(block, lzfse->head);
    case PHASE_TABLES:
        lzfse->phase = PHASE_PAYLOAD;
        lzfse->have_len = 0;
        return lzfse_block_make_codes(block, lzfse->head);
    case PHASE_OLD_HEAD:
        lzfse->phase = PHASE_PAYLOAD;
        lzfse->have_len = 0;
        return lzfse_block_parse_plain(block, lzfse->head);
    default: /* PHASE_PAYLOAD */
        lzfse->phase = PHASE_TRIPLES;
        lzfse->left_len = block->made_len;
        return lzfse_block_begin(block);
    }
}

static bool run_triples(struct lzfse *lzfse)
{
    struct lzfse_block *block = &lzfse->block;
    struct lzfse_triple triple;
    const uint8_t *literals;
    if (block->triple_count == 0) {
        end_block(lzfse);
        return lzfse->left_len == 0;
    }
    block->triple_count--;
    if (!lzfse_block_next(block, &triple, &literals) || triple.literal_count + triple.match_len > lzfse->left_len) {
        return false;
    }
    lzfse->left_len -= triple.literal_count + triple.match_len;
    return lz_window_put(&lzfse->window, triple.literal_count, literals, triple.match_len, triple.distance);
}

static bool run_lzvn(struct lzfse *lzfse, struct stream_step *step, bool *ret_goes_on)
{
    if (lzfse->lzvn.is_finished) {
        end_block(lzfse);
        *ret_goes_on = true;
        return true;
    }
    return lzvn_next(&lzfse->lzvn, &lzfse->window, step, ret_goes_on);
}

bool lzfse_step(struct stream_step *step, void *state)
{
    struct lzfse *lzfse = state;
    if (step->is_first) {
        lz_window_begin(&lzfse->window);
        end_block(lzfse);
    }
    bool goes_on = true;
    while (goes_on && lz_window_run(&lzfse->window, step)) { /* ends: each round takes input, or a triple */
        switch ((enum phase)lzfse->phase) {
        case PHASE_PLAIN:
            end_block(lzfse);
            break;
        case PHASE_LZVN:
            RETURN_IF_FAILED(run_lzvn(lzfse, step, &goes_on));
            break;
        case PHASE_TRIPLES:
            RETURN_IF_FAILED(run_triples(lzfse));
            break;
        case PHASE_END:
            step->is_finished = lz_window_send(&lzfse->window, step);
            return true;
        case PHASE_NAME:
        case PHASE_PLAIN_HEAD:
        case PHASE_LZVN_HEAD:
        case PHASE_HEAD:
        case PHASE_TABLES:
        case PHASE_OLD_HEAD:
        case PHASE_PAYLOAD:
            RETURN_IF_FAILED(run_head(lzfse, step, &goes_on));
            break;
        }
    }
    (void)lz_window_send(&lzfse->window, step);
    return true;
}
