/* SPDX-License-Identifier: Apache-2.0 */
/* MD5 (RFC 1321), where a format has it as a checksum. */
#ifndef INSTAR_GUEST_CRYPTO_MD5_H
#define INSTAR_GUEST_CRYPTO_MD5_H

#include <stdint.h>

#include "base/span.h"

#define MD5_LEN 16u

struct md5 {
    uint32_t state[4];
    uint64_t len; /* bytes so far */
    uint8_t block[64];
};

void md5_init(struct md5 *md5);
void md5_add(struct md5 *md5, struct span bytes);
void md5_end(struct md5 *md5, uint8_t ret_digest[MD5_LEN]);

#endif
