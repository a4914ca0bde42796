/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where bytes came before, within 4 KiB. Places whose first four bytes have the same hash are in a bucket, the last one
 * first; what falls out at its end is forgotten. A place is kept as the low 16 bits of its offset, below 16 more bits
 * of the hash, so that four of them are compared at once, in one register, and hardly ever for nothing. Of three bytes,
 * only the last place is known.
 *
 * A place that is older than 64 KiB looks younger than it is, and zeros look like a place; so what is found is compared
 * byte for byte before it counts. No distance leads before the first byte: a place in the tables has been passed, and
 * the difference of the low 16 bits is its distance or less.
 */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_MATCHES_H
#define INSTAR_GUEST_CODECS_DEFLATE_MATCHES_H

#include <emmintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/endian.h"

/* Where the number of vectors is a constant, which the callers' loops are made for. */
#define MATCH_INLINE static inline __attribute__((always_inline))

#define MATCH_DISTANCE_MAX 4096
#define MATCH_LEN_MIN 3u
#define MATCH_LEN_MAX 258u
/* Bytes that must be there where something is entered or looked for. */
#define MATCH_READ_LEN 4u

#define BUCKET_BITS 11u
#define BUCKET_PLACES 4u /* of each vector */
#define BUCKET_VECTORS_MAX 16u
#define SHORT_TABLE_BITS 11u
/* Three bytes from farther away take more bits than they save, as a rule. */
#define SHORT_DISTANCE_MAX 1024u

struct match_table {
    uint32_t vectors; /* of each bucket */
    uint16_t last_short[1u << SHORT_TABLE_BITS];
    __m128i buckets[BUCKET_VECTORS_MAX << BUCKET_BITS]; /* those in use come first */
};

/* A length of 0: none. */
struct match {
    uint32_t len;
    uint32_t distance;
};

/* What a place looks like. */
struct match_key {
    uint32_t bytes;
    __m128i place; /* in the lowest of four */
    uint32_t bucket;
    uint32_t short_place;
};

static inline void match_table_init(struct match_table *table, uint32_t vectors)
{
    table->vectors = vectors;
    memset(table->last_short, 0, sizeof(table->last_short));
    memset(table->buckets, 0, sizeof(table->buckets[0]) * (vectors << BUCKET_BITS));
}

MATCH_INLINE struct match_key match_key(const uint8_t *bytes, uint32_t off)
{
    const uint32_t multiplier = 0x9e3779b1; /* 2^32 by the golden ratio, as usual: the upper bits depend on all */
    uint32_t value = le32_get(*(const struct le32 *)(bytes + off));
    uint32_t hash = value * multiplier;
    uint32_t place = (hash << BUCKET_BITS & 0xffff0000u) | (uint16_t)off;
    return (struct match_key){
        .bytes = value,
        .place = _mm_cvtsi32_si128((int)place),
        .bucket = hash >> (32 - BUCKET_BITS),
        .short_place = (value << 8) * multiplier >> (32 - SHORT_TABLE_BITS),
    };
}

MATCH_INLINE void match_bucket_push(__m128i *bucket, uint32_t vectors, __m128i place)
{
    for (uint32_t i = 0; i < vectors; i++) {
        __m128i places = bucket[i];
        bucket[i] = _mm_or_si128(_mm_slli_si128(places, 4), place);
        place = _mm_srli_si128(places, 12);
    }
}

/*
 * Enters a place, not for matches of three bytes: inside of a match that costs more time than it saves length. Each one
 * once, in their order, though not all of them need to be.
 */
MATCH_INLINE void match_table_enter(struct match_table *table, const uint8_t *bytes, uint32_t off, uint32_t vectors)
{
    struct match_key key = match_key(bytes, off);
    match_bucket_push(&table->buckets[key.bucket * vectors], vectors, key.place);
}

/* How many bytes are alike at two places, len_max at most. */
MATCH_INLINE uint32_t match_len(const uint8_t *here, const uint8_t *there, uint32_t len_max)
{
    uint32_t len = 0;
    while (len + sizeof(uint64_t) <= len_max) {
        uint64_t difference =
            le64_get(*(const struct le64 *)(here + len)) ^ le64_get(*(const struct le64 *)(there + len));
        if (difference != 0) {
            return len + (uint32_t)__builtin_ctzll(difference) / 8;
        }
        len += sizeof(uint64_t);
    }
    while (len < len_max && here[len] == there[len]) {
        len++;
    }
    return len;
}

/* The places of one vector, at these distances: improves *best, of which only what is longer than *best_len counts. */
MATCH_INLINE bool match_vector_look(__m128i distances, const uint8_t *here, uint32_t len_max, uint32_t good_len,
                                    uint32_t *best_len, struct match *best)
{
    uint32_t each[BUCKET_PLACES];
    /* The hash's bits are zeros where they are alike: a small number, then. */
    __m128i are_near = _mm_and_si128(_mm_cmpgt_epi32(distances, _mm_setzero_si128()),
                                     _mm_cmplt_epi32(distances, _mm_set1_epi32(MATCH_DISTANCE_MAX + 1)));
    uint32_t left = (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(are_near));
    if (left == 0) {
        return false;
    }
    _mm_storeu_si128((__m128i *)each, distances);
    for (; left != 0; left &= left - 1) {
        uint32_t distance = each[__builtin_ctz(left)];
        const uint8_t *there = here - distance;
        if (there[*best_len] != here[*best_len]) {
            continue;
        }
        uint32_t len = match_len(here, there, len_max);
        if (len > *best_len) {
            *best_len = len;
            *best = (struct match){len, distance};
            if (len >= good_len || len == len_max) {
                return true;
            }
        }
    }
    return false;
}

/*
 * Enters a place, and finds the longest match there that is longer than len_min and not longer than len_max, of which
 * all bytes are there; of several, the nearest. One of good_len bytes is good enough. len_min is below len_max.
 */
MATCH_INLINE struct match match_table_find(struct match_table *table, const uint8_t *bytes, uint32_t off,
                                           uint32_t len_min, uint32_t len_max, uint32_t good_len, uint32_t vectors)
{
    struct match best = {0, 0};
    struct match_key key = match_key(bytes, off);
    __m128i *bucket = &table->buckets[key.bucket * vectors];
    __m128i all = _mm_shuffle_epi32(key.place, 0);
    const uint8_t *here = bytes + off;
    uint32_t best_len = len_min < MATCH_LEN_MIN ? MATCH_LEN_MIN : len_min;
    __m128i place = key.place;
    bool is_good = false;
    for (uint32_t i = 0; i < vectors; i++) {
        __m128i places = bucket[i];
        bucket[i] = _mm_or_si128(_mm_slli_si128(places, 4), place);
        place = _mm_srli_si128(places, 12);
        is_good = is_good || match_vector_look(_mm_sub_epi16(all, places), here, len_max, good_len, &best_len, &best);
    }
    uint32_t distance = (uint16_t)(off - table->last_short[key.short_place]);
    table->last_short[key.short_place] = (uint16_t)off;
    if (best.len == 0 && len_min < MATCH_LEN_MIN && distance - 1 < SHORT_DISTANCE_MAX &&
        (le32_get(*(const struct le32 *)(here - distance)) ^ key.bytes) << 8 == 0) {
        best = (struct match){MATCH_LEN_MIN, distance};
    }
    return best;
}

#endif
