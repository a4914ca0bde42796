/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of passphrases by Argon2 (RFC 9106), which takes memory as well as time. */
#ifndef INSTAR_GUEST_CRYPTO_ARGON2_KEY_H
#define INSTAR_GUEST_CRYPTO_ARGON2_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/runtime/arena.h"

/* cryptsetup makes 4 at most. */
#define ARGON2_LANES_MAX 64u
#define ARGON2_SALT_LEN_MIN 8u

struct argon2_setup {
    bool is_hybrid;      /* Argon2id, otherwise Argon2i */
    uint32_t passes;     /* not 0 */
    uint32_t memory_kib; /* 8 for each lane at least */
    uint32_t lanes;      /* 1 to ARGON2_LANES_MAX */
    struct span salt;    /* ARGON2_SALT_LEN_MIN bytes at least */
};

/*
 * Writes `len` bytes, 4 at least. Takes as long as the setup says. The memory is the arena's, and given back; where it
 * has not so much, an ERROR_LIMIT says how much is needed, and how much there is.
 */
MUST_CHECK bool argon2_key(const struct argon2_setup *setup, struct span password, struct arena *arena, uint8_t *target,
                           size_t len, struct error *error);

#endif
