/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block of LZFSE of the kind "bvx2" or "bvx1". Its head has lengths, the states that decoding begins with, and four
 * tables of frequencies, which have a code of their own in "bvx2"; then come the literals, and then the triples. Both
 * are read from their last bit to their first.
 */
#ifndef INSTAR_GUEST_CODECS_LZFSE_BLOCK_H
#define INSTAR_GUEST_CODECS_LZFSE_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

#define LZFSE_LITERAL_COUNT_MAX 40000u
#define LZFSE_TRIPLE_COUNT_MAX 10000u
#define LZFSE_LITERAL_STATES 1024u
#define LZFSE_COUNT_STATES 64u
#define LZFSE_DISTANCE_STATES 256u
#define LZFSE_COUNT_SYMBOLS 20u
#define LZFSE_DISTANCE_SYMBOLS 64u

/* Of a block's head, from its name on, before the frequencies, and with them: 14 bits for each at most. */
#define LZFSE_BLOCK_HEAD_LEN 32u
#define LZFSE_BLOCK_HEAD_LEN_MAX \
    (LZFSE_BLOCK_HEAD_LEN + (2 * LZFSE_COUNT_SYMBOLS + LZFSE_DISTANCE_SYMBOLS + 256) * 7 / 4)

/* The head of "bvx1": numbers as they are, 16 bits for each frequency, and 2 bytes for the structure's sake. */
#define LZFSE_BLOCK_PLAIN_HEAD_LEN 772u

/* What so many take at most: 10 bits a literal; 14, 17 and 23 bits a triple. A word more may be read than there is. */
#define LZFSE_LITERALS_LEN_MAX (LZFSE_LITERAL_COUNT_MAX * 10 / 8 + 8)
#define LZFSE_TRIPLES_LEN_MAX (LZFSE_TRIPLE_COUNT_MAX * 54 / 8 + 8)
#define LZFSE_PAYLOAD_LEN_MAX (LZFSE_LITERALS_LEN_MAX + LZFSE_TRIPLES_LEN_MAX)

/* What a state of a code stands for: a value, and how the next state is found. */
struct lzfse_entry {
    uint8_t bits;       /* to be read */
    uint8_t value_bits; /* of these, the lowest ones, which are added to the value */
    int16_t next_state; /* to which the others are added */
    uint32_t value;
};

struct lzfse_bits {
    const uint8_t *bytes;
    uint64_t left_count; /* bits that were not read */
    bool has_failed;     /* more was wanted */
};

struct lzfse_block {
    uint32_t head_len; /* bytes, with the frequencies */
    uint32_t made_len; /* bytes that the block makes */
    uint32_t literal_count;
    uint32_t triple_count;
    uint32_t literals_len; /* bytes of the payload */
    uint32_t triples_len;
    uint32_t literals_unused_bits; /* of their last bytes */
    uint32_t triples_unused_bits;
    uint32_t literal_states[4];
    uint32_t count_state, match_state, distance_state;
    uint32_t distance; /* of the last match; 0: none */
    uint32_t next_literal;
    struct lzfse_bits bits; /* of triples */
    struct lzfse_entry literal_code[LZFSE_LITERAL_STATES];
    struct lzfse_entry count_code[LZFSE_COUNT_STATES];
    struct lzfse_entry match_code[LZFSE_COUNT_STATES];
    struct lzfse_entry distance_code[LZFSE_DISTANCE_STATES];
    uint8_t payload[LZFSE_PAYLOAD_LEN_MAX + 8];
    uint8_t literals[LZFSE_LITERAL_COUNT_MAX];
};

struct lzfse_triple {
    uint32_t literal_count;
    uint32_t match_len;
    uint32_t distance;
};

/* Parses the LZFSE_BLOCK_HEAD_LEN bytes of a head: then head_len is known. False for damage. */
MUST_CHECK bool lzfse_block_parse(struct lzfse_block *block, const uint8_t *head);

/* Makes the codes of the head's head_len bytes. False for damage. */
MUST_CHECK bool lzfse_block_make_codes(struct lzfse_block *block, const uint8_t *head);

/* The same for a head of LZFSE_BLOCK_PLAIN_HEAD_LEN bytes, with its codes. */
MUST_CHECK bool lzfse_block_parse_plain(struct lzfse_block *block, const uint8_t *head);

/* The payload is there, literals_len + triples_len bytes: decodes the literals. False for damage. */
MUST_CHECK bool lzfse_block_begin(struct lzfse_block *block);

/* The next triple, of triple_count. Its literals are at *ret_literals. False for damage. */
MUST_CHECK bool lzfse_block_next(struct lzfse_block *block, struct lzfse_triple *ret_triple,
                                 const uint8_t **ret_literals);

#endif
