/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/key_split.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/crypto/wipe.h"

/* Each digest's length of the key becomes the hash of its number and itself; of a shorter rest, as much as it has. */
static void diffuse(const struct hash *hash, uint8_t *key, size_t key_len)
{
    uint8_t digest[HASH_DIGEST_LEN_MAX];
    uint32_t digest_len = hash_digest_len(hash);
    uint32_t index = 0;
    for (size_t off = 0; off < key_len; off += digest_len) {
        struct be32 number = be32_make(index++);
        size_t len = min_u64(key_len - off, digest_len);
        hash_digest(hash, (struct span){(const uint8_t *)&number, sizeof(number)}, (struct span){key + off, len},
                    digest);
        memcpy(key + off, digest, len);
    }
    wipe(digest, sizeof(digest));
}

static void add_stripe(uint8_t *key, const uint8_t *stripe, size_t key_len)
{
    for (size_t i = 0; i < key_len; i++) {
        key[i] ^= stripe[i];
    }
}

/* What all stripes but the last one make. */
static void merge_first(const struct hash *hash, const uint8_t *stripes, uint32_t stripe_count, uint8_t *key,
                        size_t key_len)
{
    memset(key, 0, key_len);
    for (uint32_t i = 0; i + 1 < stripe_count; i++) {
        add_stripe(key, stripes + i * key_len, key_len);
        diffuse(hash, key, key_len);
    }
}

void key_merge(const struct hash *hash, const uint8_t *stripes, uint32_t stripe_count, uint8_t *ret_key, size_t key_len)
{
    merge_first(hash, stripes, stripe_count, ret_key, key_len);
    add_stripe(ret_key, stripes + (stripe_count - 1) * key_len, key_len);
}

void key_split(const struct hash *hash, const uint8_t *key, size_t key_len, uint32_t stripe_count, uint8_t *stripes)
{
    uint8_t *last = stripes + (stripe_count - 1) * key_len;
    merge_first(hash, stripes, stripe_count, last, key_len);
    add_stripe(last, key, key_len);
}
