/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The anti-forensic splitter (LUKS1 On-Disk Format Specification 1.2.3, 2.4): a key as many stripes, all of which are
 * needed to have it back.
 */
#ifndef INSTAR_GUEST_CRYPTO_KEY_SPLIT_H
#define INSTAR_GUEST_CRYPTO_KEY_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "guest/crypto/hash.h"

/* Of both: `stripe_count` stripes of key_len bytes, one behind the other; key_len is SECTOR_CIPHER_KEY_LEN_MAX at most.
 */

/* All but the last stripe have random bytes: makes the last one. */
void key_split(const struct hash *hash, const uint8_t *key, size_t key_len, uint32_t stripe_count, uint8_t *stripes);

void key_merge(const struct hash *hash, const uint8_t *stripes, uint32_t stripe_count, uint8_t *ret_key,
               size_t key_len);

#endif
