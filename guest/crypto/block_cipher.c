/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/block_cipher.h"

#include <nettle/cbc.h>
#include <string.h>

#include "base/attributes.h"

/* The library's functions with a type of their own for each state; called with what they are made for. */
#define AES(bits)                                                                                                 \
    static void aes##bits##_encrypt_key(void *state, const uint8_t *key)                                          \
    {                                                                                                             \
        aes##bits##_set_encrypt_key(state, key);                                                                  \
    }                                                                                                             \
    static void aes##bits##_decrypt_key(void *state, const uint8_t *key)                                          \
    {                                                                                                             \
        aes##bits##_set_decrypt_key(state, key);                                                                  \
    }                                                                                                             \
    static void aes##bits##_encrypt_blocks(const void *state, size_t len, uint8_t *target, const uint8_t *source) \
    {                                                                                                             \
        aes##bits##_encrypt(state, len, target, source);                                                          \
    }                                                                                                             \
    static void aes##bits##_decrypt_blocks(const void *state, size_t len, uint8_t *target, const uint8_t *source) \
    {                                                                                                             \
        aes##bits##_decrypt(state, len, target, source);                                                          \
    }                                                                                                             \
    static void aes##bits##_encrypt_chain(const void *state, uint8_t *iv, size_t len, uint8_t *target,            \
                                          const uint8_t *source)                                                  \
    {                                                                                                             \
        cbc_aes##bits##_encrypt(state, iv, len, target, source);                                                  \
    }

/* One schedule for both ways. */
#define OTHER(name)                                                                                          \
    static void name##_encrypt_blocks(const void *state, size_t len, uint8_t *target, const uint8_t *source) \
    {                                                                                                        \
        name##_encrypt(state, len, target, source);                                                          \
    }                                                                                                        \
    static void name##_decrypt_blocks(const void *state, size_t len, uint8_t *target, const uint8_t *source) \
    {                                                                                                        \
        name##_decrypt(state, len, target, source);                                                          \
    }

#define OTHER_KEY(name, key_len)                                     \
    static void name##_key##key_len(void *state, const uint8_t *key) \
    {                                                                \
        name##_set_key(state, key_len, key);                         \
    }

AES(128)
AES(192)
AES(256)
OTHER(serpent)
OTHER_KEY(serpent, 16)
OTHER_KEY(serpent, 24)
OTHER_KEY(serpent, 32)
OTHER(twofish)
OTHER_KEY(twofish, 16)
OTHER_KEY(twofish, 24)
OTHER_KEY(twofish, 32)
OTHER(cast128)

static void cast128_key16(void *state, const uint8_t *key)
{
    cast128_set_key(state, key);
}

#define AES_ROW(bits)                                                                         \
    {                                                                                         \
        "aes-" #bits, "aes", bits / 8, 16, aes##bits##_encrypt_key, aes##bits##_decrypt_key,  \
            aes##bits##_encrypt_blocks, aes##bits##_decrypt_blocks, aes##bits##_encrypt_chain \
    }
#define OTHER_ROW(qemu, luks, name, key_len, block_len)                                                  \
    {                                                                                                    \
        qemu, luks, key_len, block_len, name##_key##key_len, name##_key##key_len, name##_encrypt_blocks, \
            name##_decrypt_blocks, NULL                                                                  \
    }

static const struct block_cipher ciphers[] = {
    AES_ROW(128),
    AES_ROW(192),
    AES_ROW(256),
    OTHER_ROW("cast5-128", "cast5", cast128, 16, 8),
    OTHER_ROW("serpent-128", "serpent", serpent, 16, 16),
    OTHER_ROW("serpent-192", "serpent", serpent, 24, 16),
    OTHER_ROW("serpent-256", "serpent", serpent, 32, 16),
    OTHER_ROW("twofish-128", "twofish", twofish, 16, 16),
    OTHER_ROW("twofish-192", "twofish", twofish, 24, 16),
    OTHER_ROW("twofish-256", "twofish", twofish, 32, 16),
};

const struct block_cipher *block_cipher_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(ciphers); i++) {
        if (strcmp(ciphers[i].name, name) == 0) {
            return &ciphers[i];
        }
    }
    return NULL;
}

const struct block_cipher *block_cipher_find_family(const char *family, uint32_t key_len)
{
    for (size_t i = 0; i < ARRAY_COUNT(ciphers); i++) {
        if (ciphers[i].key_len == key_len && strcmp(ciphers[i].family, family) == 0) {
            return &ciphers[i];
        }
    }
    return NULL;
}
