/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/lzfse_block.h"

#include <string.h>

#include "base/endian.h"

/* The symbols of literal counts, match lengths and distances: bits that follow each; they begin where the one before
 * has ended. */
static const uint8_t count_bits[LZFSE_COUNT_SYMBOLS] = {[16] = 2, [17] = 3, [18] = 5, [19] = 8};
static const uint8_t match_bits[LZFSE_COUNT_SYMBOLS] = {[16] = 3, [17] = 5, [18] = 8, [19] = 11};

static uint64_t bits_at(uint64_t word, uint32_t first, uint32_t count)
{
    return word >> first & ((1ull << count) - 1);
}

#define FREQUENCY_COUNT (2 * LZFSE_COUNT_SYMBOLS + LZFSE_DISTANCE_SYMBOLS + 256)

static uint32_t load16(const uint8_t *bytes)
{
    struct le16 word;
    memcpy(&word, bytes, sizeof(word));
    return le16_get(word);
}

static uint32_t load32(const uint8_t *bytes)
{
    struct le32 word;
    memcpy(&word, bytes, sizeof(word));
    return le32_get(word);
}

static uint64_t load64(const uint8_t *bytes)
{
    struct le64 word;
    memcpy(&word, bytes, sizeof(word));
    return le64_get(word);
}

static bool block_check(const struct lzfse_block *block)
{
    return block->literal_count <= LZFSE_LITERAL_COUNT_MAX && block->literal_count % 4 == 0 &&
           block->triple_count <= LZFSE_TRIPLE_COUNT_MAX && block->literals_len <= LZFSE_LITERALS_LEN_MAX &&
           block->triples_len <= LZFSE_TRIPLES_LEN_MAX && block->count_state < LZFSE_COUNT_STATES &&
           block->match_state < LZFSE_COUNT_STATES && block->distance_state < LZFSE_DISTANCE_STATES;
}

/* Behind the name of the block: the length that it makes, and three words of fields. */
bool lzfse_block_parse(struct lzfse_block *block, const uint8_t *head)
{
    uint64_t first = load64(head + 8);
    uint64_t second = load64(head + 16);
    uint64_t third = load64(head + 24);
    block->made_len = load32(head + 4);
    block->literal_count = (uint32_t)bits_at(first, 0, 20);
    block->literals_len = (uint32_t)bits_at(first, 20, 20);
    block->triple_count = (uint32_t)bits_at(first, 40, 20);
    block->literals_unused_bits = 7 - (uint32_t)bits_at(first, 60, 3);
    for (uint32_t i = 0; i < 4; i++) {
        block->literal_states[i] = (uint32_t)bits_at(second, 10 * i, 10);
    }
    block->triples_len = (uint32_t)bits_at(second, 40, 20);
    block->triples_unused_bits = 7 - (uint32_t)bits_at(second, 60, 3);
    block->head_len = (uint32_t)bits_at(third, 0, 32);
    block->count_state = (uint32_t)bits_at(third, 32, 10);
    block->match_state = (uint32_t)bits_at(third, 42, 10);
    block->distance_state = (uint32_t)bits_at(third, 52, 10);
    return block->head_len >= LZFSE_BLOCK_HEAD_LEN && block->head_len <= LZFSE_BLOCK_HEAD_LEN_MAX && block_check(block);
}

/*
 * A frequency, from the lowest bits of a word: short ones for what is rare. Five bits tell how many there are: of the
 * two long kinds, 8 and 14, the last 4 and 10 are the value.
 */
static uint32_t parse_frequency(uint32_t word, uint32_t *ret_bits)
{
    static const uint8_t lens[32] = {2, 3, 2, 5, 2, 3, 2, 8, 2, 3, 2, 5, 2, 3, 2, 14,
                                     2, 3, 2, 5, 2, 3, 2, 8, 2, 3, 2, 5, 2, 3, 2, 14};
    static const uint8_t values[32] = {0, 2, 1, 4, 0, 3, 1, 0, 0, 2, 1, 5, 0, 3, 1, 0,
                                       0, 2, 1, 6, 0, 3, 1, 0, 0, 2, 1, 7, 0, 3, 1, 0};
    uint32_t len = lens[word & 31];
    *ret_bits = len;
    if (len == 8) {
        return 8 + (uint32_t)bits_at(word, 4, 4);
    }
    return len == 14 ? 24 + (uint32_t)bits_at(word, 4, 10) : values[word & 31];
}

/*
 * Makes a code of `state_count` states: each symbol has as many as its frequency says, one behind the other. Where
 * those are no power of two, the first of them read a bit more than the others. `value_bits` is NULL for symbols that
 * are their own values. False when there are more than there is room for.
 */
static bool make_code(struct lzfse_entry *entries, uint32_t state_count, const uint16_t *frequencies,
                      uint32_t symbol_count, const uint8_t *value_bits)
{
    uint32_t used = 0;
    uint32_t value = 0;
    memset(entries, 0, state_count * sizeof(*entries));
    for (uint32_t symbol = 0; symbol < symbol_count; symbol++) {
        uint32_t frequency = frequencies[symbol];
        uint32_t extra_bits = value_bits != NULL ? value_bits[symbol] : 0;
        if (frequency > state_count - used) {
            return false;
        }
        uint32_t bits = frequency > 0 ? (uint32_t)(__builtin_clz(frequency) - __builtin_clz(state_count)) : 0;
        uint32_t longer_count = (2 * state_count >> bits) - frequency; /* that read `bits`; the others one less */
        for (uint32_t i = 0; i < frequency; i++) {
            bool is_longer = i < longer_count;
            uint32_t own_bits = is_longer ? bits : bits - 1;
            uint32_t next = is_longer ? ((frequency + i) << bits) - state_count : (i - longer_count) << own_bits;
            entries[used++] = (struct lzfse_entry){
                .bits = (uint8_t)(own_bits + extra_bits),
                .value_bits = (uint8_t)extra_bits,
                .next_state = (int16_t)next,
                .value = value,
            };
        }
        value += 1u << extra_bits;
    }
    return true;
}

/* The tables stand one behind the other: of literal counts, match lengths, distances, literals. */
static bool make_codes(struct lzfse_block *block, const uint16_t frequencies[FREQUENCY_COUNT])
{
    uint8_t distance_bits[LZFSE_DISTANCE_SYMBOLS];
    for (uint32_t i = 0; i < LZFSE_DISTANCE_SYMBOLS; i++) {
        distance_bits[i] = (uint8_t)(i / 4);
    }
    const uint16_t *next = frequencies;
    return make_code(block->count_code, LZFSE_COUNT_STATES, next, LZFSE_COUNT_SYMBOLS, count_bits) &&
           make_code(block->match_code, LZFSE_COUNT_STATES, next + LZFSE_COUNT_SYMBOLS, LZFSE_COUNT_SYMBOLS,
                     match_bits) &&
           make_code(block->distance_code, LZFSE_DISTANCE_STATES, next + 2 * LZFSE_COUNT_SYMBOLS,
                     LZFSE_DISTANCE_SYMBOLS, distance_bits) &&
           make_code(block->literal_code, LZFSE_LITERAL_STATES, next + 2 * LZFSE_COUNT_SYMBOLS + LZFSE_DISTANCE_SYMBOLS,
                     256, NULL);
}

bool lzfse_block_make_codes(struct lzfse_block *block, const uint8_t *head)
{
    uint16_t frequencies[FREQUENCY_COUNT] = {0};
    uint64_t word = 0;
    uint32_t word_bits = 0;
    uint32_t off = LZFSE_BLOCK_HEAD_LEN;
    bool has_tables = block->head_len > LZFSE_BLOCK_HEAD_LEN;
    for (uint32_t i = 0; has_tables && i < sizeof(frequencies) / sizeof(frequencies[0]); i++) {
        uint32_t bits;
        for (; off < block->head_len && word_bits <= 56; word_bits += 8) {
            word |= (uint64_t)head[off++] << word_bits;
        }
        frequencies[i] = (uint16_t)parse_frequency((uint32_t)word, &bits);
        if (bits > word_bits) {
            return false;
        }
        word >>= bits;
        word_bits -= bits;
    }
    if (word_bits >= 8 || off != block->head_len) {
        return false;
    }
    return make_codes(block, frequencies);
}

/* Bits of the last byte that are not used, as a number of them that is negative. */
static bool parse_unused(const uint8_t *bytes, uint32_t *ret_bits)
{
    *ret_bits = 0u - load32(bytes);
    return *ret_bits < 8;
}

bool lzfse_block_parse_plain(struct lzfse_block *block, const uint8_t *head)
{
    uint16_t frequencies[FREQUENCY_COUNT];
    block->made_len = load32(head + 4);
    block->literal_count = load32(head + 12); /* behind the payload's length, which is the sum of two more */
    block->triple_count = load32(head + 16);
    block->literals_len = load32(head + 20);
    block->triples_len = load32(head + 24);
    for (uint32_t i = 0; i < 4; i++) {
        block->literal_states[i] = load16(head + 32 + 2 * i);
        if (block->literal_states[i] >= LZFSE_LITERAL_STATES) {
            return false;
        }
    }
    block->count_state = load16(head + 44);
    block->match_state = load16(head + 46);
    block->distance_state = load16(head + 48);
    for (uint32_t i = 0; i < FREQUENCY_COUNT; i++) {
        frequencies[i] = (uint16_t)load16(head + 50 + 2 * i);
    }
    return parse_unused(head + 28, &block->literals_unused_bits) &&
           parse_unused(head + 40, &block->triples_unused_bits) && block_check(block) &&
           load32(head + 8) == block->literals_len + block->triples_len && make_codes(block, frequencies);
}

static void bits_begin(struct lzfse_bits *bits, const uint8_t *bytes, uint32_t len, uint32_t unused_bits)
{
    uint64_t count = 8ull * len;
    *bits = (struct lzfse_bits){
        .bytes = bytes,
        .left_count = count >= unused_bits ? count - unused_bits : 0,
        .has_failed = count < unused_bits,
    };
}

/* The next `count` bits, 23 at most, towards the start; there are 8 bytes behind the last one. */
static uint32_t bits_take(struct lzfse_bits *bits, uint32_t count)
{
    if (bits->left_count < count) {
        bits->has_failed = true;
        return 0;
    }
    bits->left_count -= count;
    return (uint32_t)bits_at(load64(bits->bytes + bits->left_count / 8), (uint32_t)(bits->left_count % 8), count);
}

static uint32_t decode(const struct lzfse_entry *code, uint32_t *state, struct lzfse_bits *bits)
{
    const struct lzfse_entry *entry = &code[*state];
    uint32_t taken = bits_take(bits, entry->bits);
    *state = (uint32_t)entry->next_state + (taken >> entry->value_bits);
    return entry->value + (taken & ((1u << entry->value_bits) - 1));
}

bool lzfse_block_begin(struct lzfse_block *block)
{
    struct lzfse_bits bits;
    bits_begin(&bits, block->payload, block->literals_len, block->literals_unused_bits);
    for (uint32_t i = 0; i < block->literal_count && !bits.has_failed; i++) {
        block->literals[i] = (uint8_t)decode(block->literal_code, &block->literal_states[i % 4], &bits);
    }
    block->next_literal = 0;
    block->distance = 0;
    bits_begin(&block->bits, block->payload + block->literals_len, block->triples_len, block->triples_unused_bits);
    return !bits.has_failed;
}

bool lzfse_block_next(struct lzfse_block *block, struct lzfse_triple *ret_triple, const uint8_t **ret_literals)
{
    struct lzfse_triple triple;
    triple.literal_count = decode(block->count_code, &block->count_state, &block->bits);
    triple.match_len = decode(block->match_code, &block->match_state, &block->bits);
    triple.distance = decode(block->distance_code, &block->distance_state, &block->bits);
    if (block->bits.has_failed || triple.literal_count > block->literal_count - block->next_literal) {
        return false;
    }
    triple.distance = triple.distance != 0 ? triple.distance : block->distance; /* 0: as before */
    block->distance = triple.distance;
    *ret_literals = block->literals + block->next_literal;
    block->next_literal += triple.literal_count;
    *ret_triple = triple;
    return true;
}
