/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/deflate_block.h"

#include <string.h>

#include "guest/codecs/huffman.h"

/* RFC 1951, 3.2.3 */
enum block_type { BLOCK_STORED, BLOCK_FIXED, BLOCK_DYNAMIC };
#define BLOCK_HEAD_BITS 3u
#define STORED_LEN_MAX 65535u
#define STORED_HEAD_LEN 4u

/* RFC 1951, 3.2.5 */
#define LEN_SYMBOLS 29u
static const uint16_t len_starts[LEN_SYMBOLS + 1] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23,  27,
                                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258, 259};
static const uint8_t len_extra_bits[LEN_SYMBOLS] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                    2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

/* RFC 1951, 3.2.7: lengths of words, themselves with a Huffman code. */
#define LENGTH_SYMBOLS 19u
#define LENGTH_WORD_LEN_MAX 7u
#define REPEAT_LAST 16u
#define REPEAT_ZERO 17u
#define REPEAT_ZERO_LONG 18u
#define ALL_SYMBOLS (DEFLATE_SYMBOLS + DEFLATE_DISTANCE_SYMBOLS)
static const uint8_t repeat_bits[] = {2, 3, 7}; /* behind these three */

struct code {
    uint8_t symbol_lens[DEFLATE_SYMBOLS];
    uint8_t distance_lens[DEFLATE_DISTANCE_SYMBOLS];
    uint16_t symbols[DEFLATE_SYMBOLS];
    uint16_t distances[DEFLATE_DISTANCE_SYMBOLS];
};

/* What tells the reader of a dynamic block its code. */
struct code_description {
    uint32_t symbol_count;
    uint32_t distance_count;
    uint32_t length_count;
    uint32_t item_count;
    struct {
        uint8_t symbol;
        uint8_t repeat;
    } items[ALL_SYMBOLS];
    uint8_t lens[LENGTH_SYMBOLS];
    uint16_t words[LENGTH_SYMBOLS];
    uint32_t bit_count;
};

static const uint8_t length_order[LENGTH_SYMBOLS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

/* A table: branches would be guessed wrong too often. */
const uint8_t deflate_len_symbols[DEFLATE_LEN_MAX + 1] = {
    0,  0,  0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14,
    14, 14, 15, 15, 15, 15, 16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 18, 18,
    18, 19, 19, 19, 19, 19, 19, 19, 19, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 21, 21, 21, 21,
    21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 21, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 23,
    23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25,
    25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 26, 26, 26, 26, 26, 26, 26, 26,
    26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 26, 27, 27, 27, 27, 27,
    27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 28};

/* 256 times the binary logarithm, of 1 at least: between powers of two a parabola, 1 % too little at most. */
static uint64_t logarithm(uint32_t value)
{
    uint32_t bit = 31 - (uint32_t)__builtin_clz(value);
    uint32_t part = (bit <= 8 ? value << (8 - bit) : value >> (bit - 8)) & 0xff;
    return bit * 256 + part + (part * (256 - part) * 88 >> 16);
}

/* 256 times the information in the symbols, and how many differ. */
static uint64_t information(const uint32_t *frequencies, uint32_t count, uint32_t *used_count)
{
    uint64_t total = 0;
    uint64_t known = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (frequencies[i] > 0) {
            total += frequencies[i];
            known += frequencies[i] * logarithm(frequencies[i]);
            ++*used_count;
        }
    }
    return total == 0 ? 0 : total * logarithm((uint32_t)total) - known;
}

/* Of the description of a code: seen on real files. */
#define DESCRIPTION_BITS 100u
#define DESCRIPTION_SYMBOL_BITS 3u

uint64_t deflate_block_cost(const struct deflate_histogram *histogram)
{
    uint32_t used_count = 0;
    uint64_t cost = information(histogram->symbols, DEFLATE_SYMBOLS, &used_count);
    cost += information(histogram->distances, DEFLATE_DISTANCE_SYMBOLS, &used_count);
    return cost + 256 * (DESCRIPTION_BITS + DESCRIPTION_SYMBOL_BITS * (uint64_t)used_count);
}

static void describe_item(struct code_description *description, uint32_t *frequencies, uint32_t symbol, uint32_t repeat)
{
    description->items[description->item_count].symbol = (uint8_t)symbol;
    description->items[description->item_count].repeat = (uint8_t)repeat;
    description->item_count++;
    frequencies[symbol]++;
}

static void describe_run(struct code_description *description, uint32_t *frequencies, uint32_t len, uint32_t count)
{
    if (len != 0) {
        describe_item(description, frequencies, len, 0);
        count--;
    }
    while (count >= 3) {
        uint32_t symbol = len != 0 ? REPEAT_LAST : count > 10 ? REPEAT_ZERO_LONG : REPEAT_ZERO;
        uint32_t first = symbol == REPEAT_ZERO_LONG ? 11 : 3;
        uint32_t most = first + (1u << repeat_bits[symbol - REPEAT_LAST]) - 1;
        uint32_t part = count < most ? count : most;
        describe_item(description, frequencies, symbol, part - first);
        count -= part;
    }
    for (; count > 0; count--) {
        describe_item(description, frequencies, len, 0);
    }
}

static uint32_t count_used(const uint8_t *lens, uint32_t count, uint32_t least)
{
    while (count > least && lens[count - 1] == 0) {
        count--;
    }
    return count;
}

static void describe_code(const struct code *code, struct code_description *description)
{
    uint8_t lens[ALL_SYMBOLS];
    uint32_t frequencies[LENGTH_SYMBOLS] = {0};
    description->item_count = 0;
    description->symbol_count = count_used(code->symbol_lens, DEFLATE_SYMBOLS, DEFLATE_LEN_SYMBOL_FIRST);
    description->distance_count = count_used(code->distance_lens, DEFLATE_DISTANCE_SYMBOLS, 1);
    memcpy(lens, code->symbol_lens, description->symbol_count);
    memcpy(lens + description->symbol_count, code->distance_lens, description->distance_count);
    uint32_t count = description->symbol_count + description->distance_count;
    for (uint32_t i = 0; i < count;) {
        uint32_t run = 1;
        while (i + run < count && lens[i + run] == lens[i]) {
            run++;
        }
        describe_run(description, frequencies, lens[i], run);
        i += run;
    }
    huffman_make(frequencies, LENGTH_SYMBOLS, LENGTH_WORD_LEN_MAX, description->lens, description->words);
    description->length_count = LENGTH_SYMBOLS;
    while (description->length_count > 4 && description->lens[length_order[description->length_count - 1]] == 0) {
        description->length_count--;
    }
    description->bit_count = 5 + 5 + 4 + 3 * description->length_count;
    for (uint32_t i = 0; i < LENGTH_SYMBOLS; i++) {
        uint32_t extra_bits = i < REPEAT_LAST ? 0 : repeat_bits[i - REPEAT_LAST];
        description->bit_count += frequencies[i] * (description->lens[i] + extra_bits);
    }
}

static void write_description(struct bit_writer *writer, const struct code_description *description)
{
    bit_writer_put(writer, description->symbol_count - DEFLATE_LEN_SYMBOL_FIRST, 5);
    bit_writer_put(writer, description->distance_count - 1, 5);
    bit_writer_put(writer, description->length_count - 4, 4);
    bit_writer_flush(writer);
    for (uint32_t i = 0; i < description->length_count; i++) {
        bit_writer_put(writer, description->lens[length_order[i]], 3);
        bit_writer_flush(writer);
    }
    for (uint32_t i = 0; i < description->item_count; i++) {
        uint32_t symbol = description->items[i].symbol;
        bit_writer_put(writer, description->words[symbol], description->lens[symbol]);
        if (symbol >= REPEAT_LAST) {
            bit_writer_put(writer, description->items[i].repeat, repeat_bits[symbol - REPEAT_LAST]);
        }
        bit_writer_flush(writer);
    }
}

/* RFC 1951, 3.2.6 */
static void code_set_fixed(struct code *code)
{
    for (uint32_t i = 0; i < DEFLATE_SYMBOLS; i++) {
        code->symbol_lens[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        uint32_t word = i < 144 ? 0x30 + i : i < 256 ? 0x190 + i - 144 : i < 280 ? i - 256 : 0xc0 + i - 280;
        code->symbols[i] = huffman_reverse(word, code->symbol_lens[i]);
    }
    for (uint32_t i = 0; i < DEFLATE_DISTANCE_SYMBOLS; i++) {
        code->distance_lens[i] = 5;
        code->distances[i] = huffman_reverse(i, 5);
    }
}

/* The bits of the block's symbols; what follows the symbols of lengths and distances is the same in every code. */
static uint64_t count_bits(const struct deflate_histogram *histogram, const struct code *code)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < DEFLATE_SYMBOLS; i++) {
        count += (uint64_t)histogram->symbols[i] * code->symbol_lens[i];
    }
    for (uint32_t i = 0; i < DEFLATE_DISTANCE_SYMBOLS; i++) {
        count += (uint64_t)histogram->distances[i] * code->distance_lens[i];
    }
    return count;
}

static uint64_t count_extra_bits(const struct deflate_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < LEN_SYMBOLS; i++) {
        count += (uint64_t)histogram->symbols[DEFLATE_LEN_SYMBOL_FIRST + i] * len_extra_bits[i];
    }
    for (uint32_t i = 4; i < DEFLATE_DISTANCE_SYMBOLS; i++) {
        count += (uint64_t)histogram->distances[i] * (i / 2 - 1);
    }
    return count;
}

/* A word for each byte and each length, with its extra bits: 24 bits, and above them how many count. */
#define WORD_BITS 24u
#define WORD_MASK ((1u << WORD_BITS) - 1)
struct words {
    uint32_t literals[DEFLATE_END_SYMBOL];
    uint32_t lens[DEFLATE_LEN_MAX + 1];
};

static void words_make(struct words *words, const struct code *code)
{
    for (uint32_t i = 0; i < DEFLATE_END_SYMBOL; i++) {
        words->literals[i] = code->symbols[i] | (uint32_t)code->symbol_lens[i] << WORD_BITS;
    }
    for (uint32_t i = 0; i < LEN_SYMBOLS; i++) {
        uint32_t word = code->symbols[DEFLATE_LEN_SYMBOL_FIRST + i];
        uint32_t bits = code->symbol_lens[DEFLATE_LEN_SYMBOL_FIRST + i];
        for (uint32_t len = len_starts[i]; len < len_starts[i + 1]; len++) {
            words->lens[len] = word | (len - len_starts[i]) << bits | (bits + len_extra_bits[i]) << WORD_BITS;
        }
    }
}

static inline void put_word(struct bit_writer *writer, uint32_t word)
{
    bit_writer_put(writer, word & WORD_MASK, word >> WORD_BITS);
}

/* Three at most fit between two flushes: 45 bits. */
static inline const uint8_t *write_literals(struct bit_writer *writer, const uint32_t *words, const uint8_t *bytes,
                                            uint32_t count)
{
    for (; count >= 3; count -= 3, bytes += 3) {
        put_word(writer, words[bytes[0]]);
        put_word(writer, words[bytes[1]]);
        put_word(writer, words[bytes[2]]);
        bit_writer_flush(writer);
    }
    if (count > 0) {
        put_word(writer, words[bytes[0]]);
        if (count > 1) {
            put_word(writer, words[bytes[1]]);
        }
        bit_writer_flush(writer);
    }
    return bytes + count;
}

static void write_sequences(struct bit_writer *writer, const struct code *code, const uint8_t *bytes,
                            const struct deflate_sequence *sequences, uint32_t sequence_count)
{
    struct words words;
    struct bit_writer own = *writer; /* which stays in registers */
    words_make(&words, code);
    for (uint32_t i = 0; i < sequence_count; i++) {
        const struct deflate_sequence *sequence = &sequences[i];
        bytes = write_literals(&own, words.literals, bytes, sequence->literal_count);
        if (sequence->len > 0) { /* 20 and 25 bits */
            uint32_t symbol = deflate_distance_symbol(sequence->distance);
            put_word(&own, words.lens[sequence->len]);
            bit_writer_put(&own, code->distances[symbol], code->distance_lens[symbol]);
            if (symbol >= 4) {
                uint32_t extra_bits = symbol / 2 - 1;
                bit_writer_put(&own, (sequence->distance - 1u) & ((1u << extra_bits) - 1), extra_bits);
            }
            bit_writer_flush(&own);
            bytes += sequence->len;
        }
    }
    bit_writer_put(&own, code->symbols[DEFLATE_END_SYMBOL], code->symbol_lens[DEFLATE_END_SYMBOL]);
    bit_writer_flush(&own);
    *writer = own;
}

static void write_head(struct bit_writer *writer, enum block_type type, bool is_last)
{
    bit_writer_put(writer, (is_last ? 1u : 0u) | (uint32_t)type << 1, BLOCK_HEAD_BITS);
    bit_writer_flush(writer);
}

static void write_stored(struct bit_writer *writer, struct span bytes, bool is_last)
{
    while (bytes.len > 0) { /* ends: each round takes some */
        uint32_t len = (uint32_t)(bytes.len < STORED_LEN_MAX ? bytes.len : STORED_LEN_MAX);
        write_head(writer, BLOCK_STORED, is_last && len == bytes.len);
        bit_writer_align(writer);
        bit_writer_put(writer, len | (uint64_t)(len ^ 0xffff) << 16, 8 * STORED_HEAD_LEN);
        bit_writer_flush(writer);
        bit_writer_copy(writer, bytes.data, len);
        bytes = (struct span){bytes.data + len, bytes.len - len};
    }
}

void deflate_block_write(struct bit_writer *writer, const struct deflate_histogram *histogram, struct span bytes,
                         const struct deflate_sequence *sequences, uint32_t sequence_count, bool is_last)
{
    struct deflate_histogram all = *histogram;
    struct code own, fixed;
    struct code_description description;
    all.symbols[DEFLATE_END_SYMBOL] = 1;
    huffman_make(all.symbols, DEFLATE_SYMBOLS, HUFFMAN_LEN_MAX, own.symbol_lens, own.symbols);
    huffman_make(all.distances, DEFLATE_DISTANCE_SYMBOLS, HUFFMAN_LEN_MAX, own.distance_lens, own.distances);
    describe_code(&own, &description);
    code_set_fixed(&fixed);
    uint64_t own_bits = description.bit_count + count_bits(&all, &own);
    uint64_t fixed_bits = count_bits(&all, &fixed);
    uint64_t best_bits = BLOCK_HEAD_BITS + count_extra_bits(&all) + (fixed_bits < own_bits ? fixed_bits : own_bits);
    /* A byte at most to fill one up, for each block. */
    uint64_t stored_blocks = bytes.len / STORED_LEN_MAX + 1;
    if (8 * (bytes.len + stored_blocks * (STORED_HEAD_LEN + 2)) < best_bits) {
        write_stored(writer, bytes, is_last);
        return;
    }
    bool is_fixed = fixed_bits < own_bits;
    write_head(writer, is_fixed ? BLOCK_FIXED : BLOCK_DYNAMIC, is_last);
    if (!is_fixed) {
        write_description(writer, &description);
    }
    write_sequences(writer, is_fixed ? &fixed : &own, bytes.data, sequences, sequence_count);
}
