/* SPDX-License-Identifier: Apache-2.0 */
/* Huffman codes as deflate has them (RFC 1951, 3.2.2): canonical, of limited length, sent with the lowest bit first. */
#ifndef INSTAR_GUEST_CODECS_HUFFMAN_H
#define INSTAR_GUEST_CODECS_HUFFMAN_H

#include <stdint.h>

#define HUFFMAN_SYMBOLS_MAX 288u
#define HUFFMAN_LEN_MAX 15u

/*
 * Makes a code for `count` symbols (HUFFMAN_SYMBOLS_MAX at most) that come `frequencies` times, 2^31 times in all at
 * most. Its words have len_max bits at most, which are enough for all symbols (HUFFMAN_LEN_MAX at most). Sets the
 * length in bits of each symbol's word, 0 for one that never comes, and the words, reversed: what is sent first is bit
 * 0. A code for fewer than two symbols has two all the same, of one bit, as some readers take no other: symbol 0, and
 * symbol 1 unless it is another that comes.
 */
void huffman_make(const uint32_t *frequencies, uint32_t count, uint32_t len_max, uint8_t *ret_lens,
                  uint16_t *ret_words);

/* A word of 1 to 16 bits, the other way round. */
static inline uint16_t huffman_reverse(uint32_t word, uint32_t len)
{
    word = (word & 0x5555) << 1 | (word >> 1 & 0x5555);
    word = (word & 0x3333) << 2 | (word >> 2 & 0x3333);
    word = (word & 0x0f0f) << 4 | (word >> 4 & 0x0f0f);
    word = (word & 0x00ff) << 8 | word >> 8;
    return (uint16_t)(word >> (16 - len));
}

#endif
