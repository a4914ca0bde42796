/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/hash.h"

#include <nettle/hmac.h>
#include <nettle/nettle-meta.h>
#include <nettle/pbkdf2.h>
#include <nettle/ripemd160.h>
#include <string.h>

#include "base/attributes.h"
#include "guest/crypto/wipe.h"

static const struct hash hashes[] = {
    {"md5", &nettle_md5},
    {"sha1", &nettle_sha1},
    {"sha224", &nettle_sha224},
    {"sha256", &nettle_sha256},
    {"sha384", &nettle_sha384},
    {"sha512", &nettle_sha512},
    {"ripemd160", &nettle_ripemd160},
};

union hash_state {
    struct md5_ctx md5;
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
    struct sha512_ctx sha512;
    struct ripemd160_ctx ripemd160;
};

/* HMAC (RFC 2104): what the key makes of the inner and the outer hash, and a message under way. */
struct hmac {
    const struct nettle_hash *functions;
    union hash_state outer;
    union hash_state inner;
    union hash_state state;
};

const struct hash *hash_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(hashes); i++) {
        if (strcmp(hashes[i].name, name) == 0) {
            return &hashes[i];
        }
    }
    return NULL;
}

uint32_t hash_digest_len(const struct hash *hash)
{
    return hash->functions->digest_size;
}

void hash_digest(const struct hash *hash, struct span first, struct span second, uint8_t *ret_digest)
{
    const struct nettle_hash *functions = hash->functions;
    union hash_state state;
    functions->init(&state);
    functions->update(&state, first.len, first.data);
    functions->update(&state, second.len, second.data);
    functions->digest(&state, functions->digest_size, ret_digest);
    wipe(&state, sizeof(state));
}

static void hmac_add(void *context, size_t len, const uint8_t *bytes)
{
    struct hmac *hmac = context;
    hmac->functions->update(&hmac->state, len, bytes);
}

static void hmac_end(void *context, size_t len, uint8_t *ret_digest)
{
    struct hmac *hmac = context;
    hmac_digest(&hmac->outer, &hmac->inner, &hmac->state, hmac->functions, len, ret_digest);
}

void hash_pbkdf2(const struct hash *hash, struct span password, struct span salt, uint32_t iterations, uint8_t *target,
                 size_t len)
{
    struct hmac hmac = {.functions = hash->functions};
    hmac_set_key(&hmac.outer, &hmac.inner, &hmac.state, hash->functions, password.len, password.data);
    pbkdf2(&hmac, hmac_add, hmac_end, hash->functions->digest_size, iterations, salt.len, salt.data, len, target);
    wipe(&hmac, sizeof(hmac));
}
