/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the decoders of libraries: they ask for it when a stream begins, and have it until the next one does. It
 * is a part of the stream's state.
 */
#ifndef INSTAR_GUEST_CODECS_CODEC_MEMORY_H
#define INSTAR_GUEST_CODECS_CODEC_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/checked.h"

/* What all that is taken is aligned to, and its first byte has to be. */
#define CODEC_MEMORY_ALIGN 64u

struct codec_memory {
    uint8_t *next;
    size_t left_len;
};

/* NULL when there is not so much. */
static inline void *codec_memory_take(struct codec_memory *memory, uint64_t count, uint64_t len)
{
    uint64_t wanted_len;
    if (!checked_multiply(count, len, &wanted_len) || !checked_round_up(wanted_len, CODEC_MEMORY_ALIGN, &wanted_len) ||
        wanted_len > memory->left_len) {
        return NULL;
    }
    void *taken = memory->next;
    memory->next += wanted_len;
    memory->left_len -= (size_t)wanted_len;
    return taken;
}

/* For libraries that give memory back: it stays taken. */
static inline void codec_memory_keep(void *memory, void *taken)
{
    (void)memory;
    (void)taken;
}

#endif
