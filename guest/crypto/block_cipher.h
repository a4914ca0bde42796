/* SPDX-License-Identifier: Apache-2.0 */
/* Block ciphers, by the names that QEMU has for them; and what becomes of one with a key. */
#ifndef INSTAR_GUEST_CRYPTO_BLOCK_CIPHER_H
#define INSTAR_GUEST_CRYPTO_BLOCK_CIPHER_H

#include <nettle/aes.h>
#include <nettle/cast128.h>
#include <nettle/serpent.h>
#include <nettle/twofish.h>
#include <stdint.h>

#define BLOCK_CIPHER_BLOCK_LEN_MAX 16u
#define BLOCK_CIPHER_KEY_LEN_MAX 32u

union block_cipher_state {
    struct aes128_ctx aes128;
    struct aes192_ctx aes192;
    struct aes256_ctx aes256;
    struct serpent_ctx serpent;
    struct twofish_ctx twofish;
    struct cast128_ctx cast128;
};

struct block_cipher {
    const char *name;
    const char *family; /* what LUKS calls it, whatever the length of its key */
    uint32_t key_len;   /* bytes */
    uint32_t block_len; /* bytes */
    void (*set_encrypt_key)(void *state, const uint8_t *key);
    void (*set_decrypt_key)(void *state, const uint8_t *key);
    /* `len` is a multiple of block_len, each block by itself; target may be source. */
    void (*encrypt)(const void *state, size_t len, uint8_t *target, const uint8_t *source);
    void (*decrypt)(const void *state, size_t len, uint8_t *target, const uint8_t *source);
    /* Chained, where the library has that in one piece; otherwise NULL. */
    void (*encrypt_cbc)(const void *state, uint8_t *iv, size_t len, uint8_t *target, const uint8_t *source);
};

/* NULL: there is none of this name. */
const struct block_cipher *block_cipher_find(const char *name);

/* The one of a family with a key of this length; NULL likewise. */
const struct block_cipher *block_cipher_find_family(const char *family, uint32_t key_len);

#endif
