/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes that encrypted images are made with, by the names that QEMU has for them; and what keys are made by them.
 */
#ifndef INSTAR_GUEST_CRYPTO_HASH_H
#define INSTAR_GUEST_CRYPTO_HASH_H

#include <stdint.h>

#include "base/span.h"

#define HASH_DIGEST_LEN_MAX 64u

struct nettle_hash;

struct hash {
    const char *name;
    const struct nettle_hash *functions;
};

/* NULL: there is none of this name. */
const struct hash *hash_find(const char *name);

uint32_t hash_digest_len(const struct hash *hash);

/* One digest of two parts, one behind the other: hash_digest_len bytes. */
void hash_digest(const struct hash *hash, struct span first, struct span second, uint8_t *ret_digest);

/* PBKDF2 with HMAC (RFC 8018, 5.2): `len` bytes. `iterations` is not 0; takes as long as that says. */
void hash_pbkdf2(const struct hash *hash, struct span password, struct span salt, uint32_t iterations, uint8_t *target,
                 size_t len);

#endif
