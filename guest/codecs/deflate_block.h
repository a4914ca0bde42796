/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a deflate stream (RFC 1951, 3.2), from bytes that were taken apart into literals and matches. */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_BLOCK_H
#define INSTAR_GUEST_CODECS_DEFLATE_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "guest/codecs/bit_writer.h"

/* RFC 1951, 3.2.5: bytes, the end of a block, lengths; and the distances up to 4096. */
#define DEFLATE_SYMBOLS 286u
#define DEFLATE_END_SYMBOL 256u
#define DEFLATE_LEN_SYMBOL_FIRST 257u
#define DEFLATE_DISTANCE_SYMBOLS 24u
#define DEFLATE_LEN_MAX 258u

/* Some literals, the next bytes of the block, and then a match. */
struct deflate_sequence {
    uint32_t literal_count;
    uint16_t len; /* 3 to 258; 0: no match */
    uint16_t distance;
};

/* How often each symbol comes. */
struct deflate_histogram {
    uint32_t symbols[DEFLATE_SYMBOLS];
    uint32_t distances[DEFLATE_DISTANCE_SYMBOLS];
};

/* The number of a match's symbols, from 0; the distance is 1 to 4096. */
extern const uint8_t deflate_len_symbols[DEFLATE_LEN_MAX + 1];
static inline uint32_t deflate_len_symbol(uint32_t len)
{
    return deflate_len_symbols[len];
}
static inline uint32_t deflate_distance_symbol(uint32_t distance)
{
    uint32_t value = distance - 1;
    if (value < 2) {
        return value;
    }
    uint32_t bit = 31 - (uint32_t)__builtin_clz(value);
    return 2 * bit + (value >> (bit - 1) & 1);
}

/* About how many 1/256 bits a block with these symbols takes. */
uint64_t deflate_block_cost(const struct deflate_histogram *histogram);

/*
 * Writes the block of `bytes`, which its sequences make up and its histogram counts (without the end), in the way that
 * takes the least: stored, with the fixed code, or with a code of its own.
 */
void deflate_block_write(struct bit_writer *writer, const struct deflate_histogram *histogram, struct span bytes,
                         const struct deflate_sequence *sequences, uint32_t sequence_count, bool is_last);

#endif
