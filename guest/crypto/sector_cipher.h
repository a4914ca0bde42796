/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's data under a key: a block cipher in a mode, with an initial vector (IV) for each sector that follows from
 * the sector's number, as QEMU and dm-crypt have them.
 */
#ifndef INSTAR_GUEST_CRYPTO_SECTOR_CIPHER_H
#define INSTAR_GUEST_CRYPTO_SECTOR_CIPHER_H

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/crypto/block_cipher.h"
#include "guest/image/data_cipher.h"

/* XTS takes two. */
#define SECTOR_CIPHER_KEY_LEN_MAX (2u * BLOCK_CIPHER_KEY_LEN_MAX)

enum sector_cipher_mode {
    SECTOR_CIPHER_ECB,
    SECTOR_CIPHER_CBC,
    SECTOR_CIPHER_XTS,
    SECTOR_CIPHER_CTR,
};

enum sector_cipher_iv {
    SECTOR_CIPHER_PLAIN,   /* 32 bits of the number */
    SECTOR_CIPHER_PLAIN64, /* all of it */
    SECTOR_CIPHER_ESSIV,   /* all of it, encrypted by a hash of the key */
};

struct sector_cipher_setup {
    const char *cipher;    /* "aes-256", as QEMU calls them */
    const char *mode;      /* "ecb", "cbc", "xts", "ctr" */
    const char *iv;        /* "plain", "plain64", "essiv" */
    const char *iv_hash;   /* of essiv; otherwise NULL */
    uint32_t unit_len;     /* as in struct data_cipher */
    uint64_t first_number; /* of the sector of 512 bytes at offset 0 */
    struct span key;
};

struct sector_cipher {
    struct data_cipher data; /* decrypt and encrypt are there */
    const struct block_cipher *block;
    const struct block_cipher *iv_block;
    enum sector_cipher_mode mode;
    enum sector_cipher_iv iv;
    uint64_t first_number;
    union block_cipher_state encrypt;
    union block_cipher_state decrypt;
    union block_cipher_state tweak;  /* XTS */
    union block_cipher_state iv_key; /* ESSIV */
};

/* Fails, in QEMU's words, for what does not go together. The key has the length that goes with cipher and mode. */
MUST_CHECK bool sector_cipher_init(struct sector_cipher *cipher, const struct sector_cipher_setup *setup,
                                   struct error *error);

/* Bytes that the key has; 0 when there is no such cipher. */
uint32_t sector_cipher_key_len(const char *cipher, const char *mode);

/*
 * All of `len` bytes, a multiple of the cipher's block, in place; they begin with unit 0, and the last unit may be
 * shorter.
 */
void sector_cipher_decrypt_all(const struct sector_cipher *cipher, uint8_t *bytes, size_t len);
void sector_cipher_encrypt_all(const struct sector_cipher *cipher, uint8_t *bytes, size_t len);

#endif
