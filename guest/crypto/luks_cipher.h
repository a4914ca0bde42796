/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How LUKS of both versions writes a cipher down: a family ("aes"), a mode with its generator of initial vectors
 * ("cbc-essiv:sha256"), and the length of the key; and what QEMU calls all that.
 */
#ifndef INSTAR_GUEST_CRYPTO_LUKS_CIPHER_H
#define INSTAR_GUEST_CRYPTO_LUKS_CIPHER_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/crypto/sector_cipher.h"

struct luks_cipher {
    const char *cipher; /* as qemu-img calls them */
    const char *mode;
    const char *ivgen;
    const char *ivgen_hash; /* NULL: none */
};

/* `family` and `mode` are NUL-terminated; key_len is in bytes. Fails for what we do not have, in QEMU's words. */
MUST_CHECK bool luks_cipher_parse(const char *family, const char *mode, uint32_t key_len,
                                  struct luks_cipher *ret_cipher, struct error *error);

/* Of a cipher of QEMU's, what LUKS calls its family; empty when there is no such cipher. */
const char *luks_cipher_family(const char *cipher);

/* The name of a hash, which lives as long as the program does. */
MUST_CHECK bool luks_hash_find(const char *text, const char **ret_hash, struct error *error);

/* Of sectors of 512 bytes, counted from 0, with this key, which is not copied: its length is the cipher's. */
struct sector_cipher_setup luks_cipher_setup(const struct luks_cipher *cipher, const uint8_t *key, uint32_t key_len);

#endif
