/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), a piece at a time. */
#ifndef INSTAR_BASE_SHA256_H
#define INSTAR_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32u
#define SHA256_BLOCK_LEN 64u

struct sha256 {
    uint32_t state[8];
    uint64_t len; /* bytes so far */
    uint8_t block[SHA256_BLOCK_LEN];
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t len);
/* After this only sha256_init may follow. */
void sha256_end(struct sha256 *hash, uint8_t ret_digest[SHA256_LEN]);

#endif
