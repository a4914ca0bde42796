/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target is one file with fuzz_one. Every build makes a program of it that replays inputs (replay_main.c);
 * `make fuzz` makes one that looks for new ones (engine_main.c). tests/README.md says how to add one.
 *
 * A target ends the program by abort or a sanitizer's report when something is wrong, and by nothing else. It gives
 * back all that it has taken, and does the same for the same bytes: what it keeps between two inputs, an input cannot
 * change.
 */
#ifndef INSTAR_TESTS_FUZZ_FUZZ_H
#define INSTAR_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attributes.h"
#include "base/span.h"

/* Inputs that are longer are not tried: what is to be found lies in tables, and short inputs are tried more often. */
#define FUZZ_INPUT_LEN_MAX (256u << 10)

void fuzz_one(const uint8_t *data, size_t len);

/*
 * A target that knows what its input is made of changes it itself: `data` has `len` bytes and room for `max_len`.
 * Returns the new length. `random` is where all its choices come from. Weak: without it, bytes are changed anywhere.
 */
size_t fuzz_mutate(uint8_t *data, size_t len, size_t max_len, uint32_t random);

/* Changes bytes as the engine sees fit, and keeps their number. In a replay, nothing happens. */
void fuzz_mutate_bytes(uint8_t *data, size_t len);

/* Something that must not be. */
#define FUZZ_ASSERT(condition)                                                        \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* An input from its front to its end; what is missing is zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t len;
};

/* A little-endian number of `len` bytes, 8 at most. */
static inline uint64_t fuzz_take(struct fuzz_input *input, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len && i < input->len; i++) {
        value |= (uint64_t)input->data[i] << 8 * i;
    }
    size_t taken = len < input->len ? len : input->len;
    input->data += taken;
    input->len -= taken;
    return value;
}

/* Bytes of the input: `len`, or as many as are left. */
static inline struct span fuzz_take_span(struct fuzz_input *input, size_t len)
{
    size_t taken = len < input->len ? len : input->len;
    struct span span = {input->data, taken};
    input->data += taken;
    input->len -= taken;
    return span;
}

/* The same as a string of its own length, for the caller to free: a sanitizer sees what is read behind its end. */
char *fuzz_take_text(struct fuzz_input *input, size_t len);

/*
 * Memory that is kept from one input to the next, as large blocks are slow to get and to give back: `len` bytes, always
 * the same for a slot, as they were left; at first zeros.
 */
#define FUZZ_SLOTS 8u
uint8_t *fuzz_memory(unsigned int slot, size_t len);

/* Looks at a text that is to be printed, as far as it goes; what it was printed to has no end. */
FILE *fuzz_nowhere(void);

#endif
