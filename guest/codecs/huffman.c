/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lengths by the algorithm of Moffat and Katajainen ("In-place calculation of minimum-redundancy codes", 1995): from
 * sorted frequencies, in one array. Those that get too long are cut, and the others made longer until Kraft's sum is
 * one again; which length a symbol gets then follows from the order of the frequencies.
 */
#include "guest/codecs/huffman.h"

#include <stdbool.h>
#include <string.h>

#define DIGIT_BITS 8u
#define DIGIT_COUNT (1u << DIGIT_BITS)

struct node {
    uint32_t weight; /* a frequency, then the index of the parent, then a depth */
    uint32_t symbol;
};

static void sort_by_digit(const struct node *nodes, struct node *sorted, uint32_t count, uint32_t shift)
{
    uint32_t starts[DIGIT_COUNT] = {0};
    for (uint32_t i = 0; i < count; i++) {
        starts[nodes[i].weight >> shift & (DIGIT_COUNT - 1)]++;
    }
    uint32_t start = 0;
    for (uint32_t i = 0; i < DIGIT_COUNT; i++) {
        uint32_t digit_count = starts[i];
        starts[i] = start;
        start += digit_count;
    }
    for (uint32_t i = 0; i < count; i++) {
        sorted[starts[nodes[i].weight >> shift & (DIGIT_COUNT - 1)]++] = nodes[i];
    }
}

/* By weight, the lightest first; equal ones stay in their order. */
static void sort_nodes(struct node *nodes, uint32_t count)
{
    struct node other[HUFFMAN_SYMBOLS_MAX];
    uint32_t all_bits = 0;
    for (uint32_t i = 0; i < count; i++) {
        all_bits |= nodes[i].weight;
    }
    for (uint32_t shift = 0; shift < 32 && all_bits >> shift != 0; shift += 2 * DIGIT_BITS) {
        sort_by_digit(nodes, other, count, shift);
        sort_by_digit(other, nodes, count, shift + DIGIT_BITS);
    }
}

/* Of `count` sorted nodes, two at least: each weight becomes the depth of its leaf. The deepest ones come first. */
static void weights_to_depths(struct node *nodes, uint32_t count)
{
    uint32_t leaf = 0; /* the next one without a parent, and the next inner node; those made so far end at `made` */
    uint32_t inner = 0;
    for (uint32_t made = 0; made < count - 1; made++) {
        uint32_t weight = 0;
        for (uint32_t child = 0; child < 2; child++) {
            if (leaf >= count || (inner < made && nodes[inner].weight < nodes[leaf].weight)) {
                weight += nodes[inner].weight;
                nodes[inner++].weight = made; /* its parent */
            } else {
                weight += nodes[leaf++].weight;
            }
        }
        nodes[made].weight = weight;
    }
    nodes[count - 2].weight = 0; /* the root */
    for (uint32_t i = count - 2; i-- > 0;) {
        nodes[i].weight = nodes[nodes[i].weight].weight + 1;
    }
    /* From the root down: what of a level is no inner node is a leaf. */
    uint32_t next_inner = count - 1; /* behind it */
    uint32_t next_leaf = count;
    uint32_t places = 1;
    for (uint32_t depth = 0; places > 0; depth++) {
        uint32_t inner_count = 0;
        while (next_inner > 0 && nodes[next_inner - 1].weight == depth) {
            inner_count++;
            next_inner--;
        }
        for (uint32_t i = inner_count; i < places; i++) {
            nodes[--next_leaf].weight = depth;
        }
        places = 2 * inner_count;
    }
}

/* How many words have each length. */
static void count_lens(const struct node *nodes, uint32_t count, uint32_t len_max, uint32_t *len_counts)
{
    memset(len_counts, 0, (HUFFMAN_LEN_MAX + 1) * sizeof(*len_counts));
    uint32_t space = 0; /* Kraft's sum, in words of len_max bits */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = nodes[i].weight < len_max ? nodes[i].weight : len_max;
        len_counts[len]++;
        space += 1u << (len_max - len);
    }
    /* Ends: each round takes one from the sum. A word of len_max bits moves beside a shorter one, made longer. */
    for (; space > 1u << len_max; space--) {
        uint32_t len = len_max - 1;
        while (len_counts[len] == 0) { /* ends: not all can have len_max bits, as these are enough for all */
            len--;
        }
        len_counts[len]--;
        len_counts[len + 1] += 2;
        len_counts[len_max]--;
    }
}

static void make_words(const uint8_t *lens, uint32_t count, const uint32_t *len_counts, uint16_t *words)
{
    uint32_t next[HUFFMAN_LEN_MAX + 1];
    uint32_t word = 0;
    next[0] = 0;
    for (uint32_t len = 1; len <= HUFFMAN_LEN_MAX; len++) {
        word = (word + (len > 1 ? len_counts[len - 1] : 0)) << 1;
        next[len] = word;
    }
    for (uint32_t i = 0; i < count; i++) {
        words[i] = lens[i] == 0 ? 0 : huffman_reverse(next[lens[i]]++, lens[i]);
    }
}

void huffman_make(const uint32_t *frequencies, uint32_t count, uint32_t len_max, uint8_t *ret_lens, uint16_t *ret_words)
{
    struct node nodes[HUFFMAN_SYMBOLS_MAX];
    uint32_t len_counts[HUFFMAN_LEN_MAX + 1];
    uint32_t used = 0;
    memset(ret_lens, 0, count);
    for (uint32_t i = 0; i < count; i++) {
        if (frequencies[i] > 0) {
            nodes[used++] = (struct node){frequencies[i], i};
        }
    }
    for (uint32_t i = 0; used < 2; i++) { /* ends: the second of two differs from the first */
        if (used == 0 || nodes[0].symbol != i) {
            nodes[used++] = (struct node){0, i};
        }
    }
    sort_nodes(nodes, used);
    weights_to_depths(nodes, used);
    count_lens(nodes, used, len_max, len_counts);
    uint32_t next = 0;
    for (uint32_t len = HUFFMAN_LEN_MAX; len > 0; len--) {
        for (uint32_t i = 0; i < len_counts[len]; i++) {
            ret_lens[nodes[next++].symbol] = (uint8_t)len;
        }
    }
    make_words(ret_lens, count, len_counts, ret_words);
}
