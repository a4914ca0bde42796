/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes are taken apart into literals and matches, segment by segment; segments become one block as long as a code
 * for all of them takes less than two codes. Lazy matching: a match is given up for a literal when a better one begins
 * at the next byte.
 */
#include "guest/codecs/deflate_encode.h"

#include <stdbool.h>
#include <string.h>

#include "guest/codecs/deflate_block.h"
#include "guest/codecs/deflate_matches.h"

#define SEGMENT_LEN 8192u
#define BLOCK_LEN_MAX (128u << 10)
/* Segments of a block, and the one behind it; each ends with the literals that are left, and reaches over its end. */
#define SEGMENTS_MAX (BLOCK_LEN_MAX / SEGMENT_LEN + 2)
#define SEQUENCES_MAX (SEGMENTS_MAX * ((SEGMENT_LEN + MATCH_LEN_MAX) / MATCH_LEN_MIN + 2))

struct level {
    uint32_t vectors;
    uint32_t good_len;  /* a match that is long enough to look no further */
    uint32_t lazy_len;  /* a match that is long enough not to look at the next byte; 0: always */
    uint32_t step;      /* in long matches, every place or every second one is entered */
    uint32_t skip_unit; /* so many literals in a row let one place be left out, twice as many two, ... */
    bool saves_time;    /* in dense segments */
};

#define SKIP_NEVER UINT32_MAX
#define SKIP_LEN_MAX 7u

/* Bytes of a match from which on `step` counts. */
#define STEP_LEN 16u
/*
 * Where the last segment took more bits for each byte than this (programs do, text does not), matches are short, and
 * looking for better ones shortens little: the level's lazy_len and STEP_LEN are these at most.
 */
#define DENSE_BITS_PERCENT 280u
#define DENSE_LAZY_LEN_MAX 5u
#define DENSE_STEP_LEN 5u

static const struct level levels[DEFLATE_ENCODE_LEVEL_MAX + 1] = {
    [1] = {1, 16, 0, 2, 16, true},
    [2] = {1, 64, 0, 2, 32, true},
    [3] = {1, 64, 6, 2, 32, true},
    [4] = {1, 64, 12, 2, 32, true},
    [5] = {1, 64, 32, 1, 128, false},
    [6] = {1, 258, 258, 1, SKIP_NEVER, false},
    [7] = {2, 64, 32, 1, SKIP_NEVER, false},
    [8] = {2, 258, 258, 1, SKIP_NEVER, false},
    [9] = {4, 128, 128, 1, SKIP_NEVER, false},
    [10] = {4, 258, 258, 1, SKIP_NEVER, false},
    [11] = {8, 258, 258, 1, SKIP_NEVER, false},
    [12] = {16, 258, 258, 1, SKIP_NEVER, false},
};

struct encoder {
    struct span bytes;
    size_t off;               /* of what was taken apart */
    struct match_table table; /* of places before it */
    struct deflate_histogram segment;
    struct deflate_histogram block;  /* of the segments before that are one block */
    struct deflate_histogram merged; /* both */
    bool is_dense;                   /* the last segment was */
    uint64_t block_cost;
    size_t block_off;
    size_t segment_off;
    uint32_t block_sequences; /* of all sequences */
    uint32_t sequence_count;
    struct deflate_sequence sequences[SEQUENCES_MAX];
};

size_t deflate_encode_scratch_len(void)
{
    return sizeof(struct encoder);
}

/* What is there for a match, at an offset with MATCH_READ_LEN bytes. */
static inline uint32_t len_max_at(const struct encoder *encoder, size_t off)
{
    size_t len = encoder->bytes.len - off;
    return len < MATCH_LEN_MAX ? (uint32_t)len : MATCH_LEN_MAX;
}

static inline uint32_t distance_bits(const struct match *match)
{
    return 31 - (uint32_t)__builtin_clz(match->distance);
}

/* Whether a match at the next byte is worth a literal: four bits for each byte, and what the distances take. */
static inline bool is_better(const struct match *next, const struct match *match)
{
    return next->len > 0 && 4 * next->len + distance_bits(match) > 4 * match->len + distance_bits(next) + 2;
}

static inline void take_literal(struct encoder *encoder, size_t off)
{
    encoder->segment.symbols[encoder->bytes.data[off]]++;
}

static inline void take_sequence(struct encoder *encoder, uint32_t literal_count, const struct match *match)
{
    encoder->sequences[encoder->sequence_count++] = (struct deflate_sequence){
        .literal_count = literal_count, .len = (uint16_t)match->len, .distance = (uint16_t)match->distance};
    if (match->len > 0) {
        encoder->segment.symbols[DEFLATE_LEN_SYMBOL_FIRST + deflate_len_symbol(match->len)]++;
        encoder->segment.distances[deflate_distance_symbol(match->distance)]++;
    }
}

/* Takes apart the bytes up to `end` at least, as far as there are any. */
MATCH_INLINE void take_segment(struct encoder *encoder, const struct level *level, size_t end, uint32_t vectors)
{
    struct match_table *table = &encoder->table;
    const uint8_t *bytes = encoder->bytes.data;
    /* Behind this there is not enough for a match and a second one at the next byte. */
    size_t reads_end = encoder->bytes.len > MATCH_READ_LEN ? encoder->bytes.len - MATCH_READ_LEN : 0;
    size_t off = encoder->off;
    size_t literals_off = off;
    bool is_dense = level->saves_time && encoder->is_dense;
    uint32_t lazy_len = is_dense && level->lazy_len > DENSE_LAZY_LEN_MAX ? DENSE_LAZY_LEN_MAX : level->lazy_len;
    uint32_t step_len = is_dense ? DENSE_STEP_LEN : STEP_LEN;
    while (off < end && off < reads_end) {
        struct match match =
            match_table_find(table, bytes, (uint32_t)off, 0, len_max_at(encoder, off), level->good_len, vectors);
        if (match.len == 0) {
            take_literal(encoder, off++);
            /* The longer nothing was found, the fewer places are looked at. */
            size_t skip_len = (off - literals_off) / level->skip_unit;
            for (skip_len = skip_len < SKIP_LEN_MAX ? skip_len : SKIP_LEN_MAX; skip_len > 0 && off < end; skip_len--) {
                take_literal(encoder, off++);
            }
            continue;
        }
        size_t entered_off = off + 1;
        while (match.len < lazy_len && off + match.len < encoder->bytes.len && off + 1 < end && off + 1 < reads_end) {
            struct match next = match_table_find(table, bytes, (uint32_t)off + 1, match.len - 1,
                                                 len_max_at(encoder, off + 1), level->good_len, vectors);
            entered_off = off + 2;
            if (!is_better(&next, &match)) {
                break;
            }
            take_literal(encoder, off++);
            match = next;
        }
        take_sequence(encoder, (uint32_t)(off - literals_off), &match);
        off += match.len;
        literals_off = off;
        size_t enter_end = off < reads_end ? off : reads_end;
        for (; entered_off<enter_end; entered_off += match.len> step_len ? level->step : 1) {
            match_table_enter(table, bytes, (uint32_t)entered_off, vectors);
        }
    }
    while (off < end) {
        take_literal(encoder, off++);
    }
    if (off > literals_off) {
        take_sequence(encoder, (uint32_t)(off - literals_off), &(struct match){0, 0});
    }
    encoder->off = off;
}

static void take_next_segment(struct encoder *encoder, const struct level *level)
{
    memset(&encoder->segment, 0, sizeof(encoder->segment));
    encoder->segment_off = encoder->off;
    size_t left = encoder->bytes.len - encoder->off;
    size_t end = encoder->off + (left < SEGMENT_LEN ? left : SEGMENT_LEN);
    if (level->vectors == 1) { /* made for it */
        take_segment(encoder, level, end, 1);
    } else {
        take_segment(encoder, level, end, level->vectors);
    }
}

static void write_block(struct encoder *encoder, struct bit_writer *writer, bool is_last)
{
    struct span bytes = {encoder->bytes.data + encoder->block_off, encoder->segment_off - encoder->block_off};
    deflate_block_write(writer, &encoder->block, bytes, encoder->sequences, encoder->block_sequences, is_last);
    encoder->sequence_count -= encoder->block_sequences;
    memmove(encoder->sequences, encoder->sequences + encoder->block_sequences,
            encoder->sequence_count * sizeof(encoder->sequences[0]));
}

/* The segment belongs to the block before it, or that is written and it begins one. */
static void add_segment(struct encoder *encoder, struct bit_writer *writer)
{
    uint64_t segment_cost = deflate_block_cost(&encoder->segment);
    encoder->is_dense = segment_cost * 100 > (uint64_t)256 * DENSE_BITS_PERCENT * (encoder->off - encoder->segment_off);
    if (encoder->segment_off > encoder->block_off) {
        for (uint32_t i = 0; i < DEFLATE_SYMBOLS; i++) {
            encoder->merged.symbols[i] = encoder->block.symbols[i] + encoder->segment.symbols[i];
        }
        for (uint32_t i = 0; i < DEFLATE_DISTANCE_SYMBOLS; i++) {
            encoder->merged.distances[i] = encoder->block.distances[i] + encoder->segment.distances[i];
        }
        uint64_t merged_cost = deflate_block_cost(&encoder->merged);
        if (encoder->off - encoder->block_off <= BLOCK_LEN_MAX && merged_cost <= encoder->block_cost + segment_cost) {
            encoder->block = encoder->merged;
            encoder->block_cost = merged_cost;
            encoder->block_sequences = encoder->sequence_count;
            return;
        }
        write_block(encoder, writer, false);
    }
    encoder->block = encoder->segment;
    encoder->block_cost = segment_cost;
    encoder->block_off = encoder->segment_off;
    encoder->block_sequences = encoder->sequence_count;
}

size_t deflate_encode(int level_number, struct span bytes, uint8_t *target, size_t target_len, void *scratch)
{
    const struct level *level = &levels[level_number];
    struct encoder *encoder = scratch;
    struct bit_writer writer = {.next = target, .end = target + target_len};
    match_table_init(&encoder->table, level->vectors);
    encoder->bytes = bytes;
    encoder->off = 0;
    encoder->is_dense = false;
    encoder->block_off = 0;
    encoder->block_sequences = 0;
    encoder->sequence_count = 0;
    do {
        take_next_segment(encoder, level);
        add_segment(encoder, &writer);
    } while (encoder->off < bytes.len && !writer.is_full);
    encoder->segment_off = encoder->off;
    write_block(encoder, &writer, true);
    bit_writer_align(&writer);
    return writer.is_full ? 0 : (size_t)(writer.next - target);
}
