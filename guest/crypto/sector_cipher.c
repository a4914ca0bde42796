/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/sector_cipher.h"

#include <nettle/cbc.h>
#include <nettle/ctr.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/units.h"
#include "guest/crypto/hash.h"
#include "guest/crypto/wipe.h"

/* Blocks are worked on so many bytes at once, of which a unit has a whole number. */
#define BATCH_LEN 512u
#define XTS_BLOCK_LEN 16u

_Static_assert(BATCH_LEN % BLOCK_CIPHER_BLOCK_LEN_MAX == 0, "a batch is whole blocks");

static const char *const mode_names[] = {"ecb", "cbc", "xts", "ctr"};
static const char *const iv_names[] = {"plain", "plain64", "essiv"};

static bool find_name(const char *const *names, uint32_t count, const char *name, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* IV of the sector with this number. */
static void make_iv(const struct sector_cipher *cipher, uint64_t number, uint8_t ret_iv[BLOCK_CIPHER_BLOCK_LEN_MAX])
{
    struct le64 word = le64_make(cipher->iv == SECTOR_CIPHER_PLAIN ? (uint32_t)number : number);
    memset(ret_iv, 0, BLOCK_CIPHER_BLOCK_LEN_MAX);
    memcpy(ret_iv, &word, sizeof(word));
    if (cipher->iv == SECTOR_CIPHER_ESSIV) {
        cipher->iv_block->encrypt(&cipher->iv_key, cipher->iv_block->block_len, ret_iv, ret_iv);
    }
}

static void xor_bytes(uint8_t *target, const uint8_t *first, const uint8_t *second, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, first + i, sizeof(a));
        memcpy(&b, second + i, sizeof(b));
        a ^= b;
        memcpy(target + i, &a, sizeof(a));
    }
}

/* The tweaks of `len` bytes from the one in `tweak` on, which becomes the one behind them (IEEE 1619, 5.2). */
static void make_tweaks(uint64_t tweak[2], uint8_t *tweaks, size_t len)
{
    for (size_t off = 0; off < len; off += XTS_BLOCK_LEN) {
        memcpy(tweaks + off, tweak, XTS_BLOCK_LEN);
        uint64_t carry = tweak[1] >> 63;
        tweak[1] = tweak[1] << 1 | tweak[0] >> 63;
        tweak[0] = tweak[0] << 1 ^ (carry != 0 ? 0x87 : 0);
    }
}

static void crypt_xts(const struct sector_cipher *cipher, bool encrypts, const uint8_t *iv, const uint8_t *source,
                      uint8_t *target, size_t len)
{
    uint64_t tweak[2]; /* little-endian, as this machine */
    uint8_t tweaks[BATCH_LEN];
    uint8_t first[XTS_BLOCK_LEN];
    cipher->block->encrypt(&cipher->tweak, XTS_BLOCK_LEN, first, iv);
    memcpy(tweak, first, sizeof(tweak));
    for (size_t off = 0; off < len; off += BATCH_LEN) {
        size_t batch_len = min_u64(len - off, BATCH_LEN);
        make_tweaks(tweak, tweaks, batch_len);
        xor_bytes(target + off, source + off, tweaks, batch_len);
        if (encrypts) {
            cipher->block->encrypt(&cipher->encrypt, batch_len, target + off, target + off);
        } else {
            cipher->block->decrypt(&cipher->decrypt, batch_len, target + off, target + off);
        }
        xor_bytes(target + off, target + off, tweaks, batch_len);
    }
}

static void encrypt_cbc(const struct sector_cipher *cipher, uint8_t *iv, const uint8_t *source, uint8_t *target,
                        size_t len)
{
    if (cipher->block->encrypt_cbc != NULL) {
        cipher->block->encrypt_cbc(&cipher->encrypt, iv, len, target, source);
    } else {
        cbc_encrypt(&cipher->encrypt, cipher->block->encrypt, cipher->block->block_len, iv, len, target, source);
    }
}

static void decrypt_cbc(const struct sector_cipher *cipher, const uint8_t *iv, const uint8_t *source, uint8_t *target,
                        size_t len)
{
    uint32_t block_len = cipher->block->block_len;
    uint8_t before[BLOCK_CIPHER_BLOCK_LEN_MAX + BATCH_LEN]; /* the block before, and the batch's own */
    memcpy(before, iv, block_len);
    for (size_t off = 0; off < len; off += BATCH_LEN) {
        size_t batch_len = min_u64(len - off, BATCH_LEN);
        memcpy(before + block_len, source + off, batch_len);
        cipher->block->decrypt(&cipher->decrypt, batch_len, target + off, source + off);
        xor_bytes(target + off, target + off, before, batch_len);
        memcpy(before, before + batch_len, block_len);
    }
}

static void crypt_unit(const struct sector_cipher *cipher, bool encrypts, uint64_t number, const uint8_t *source,
                       uint8_t *target, size_t len)
{
    const struct block_cipher *block = cipher->block;
    uint8_t iv[BLOCK_CIPHER_BLOCK_LEN_MAX];
    make_iv(cipher, number, iv);
    switch (cipher->mode) {
    case SECTOR_CIPHER_XTS:
        crypt_xts(cipher, encrypts, iv, source, target, len);
        break;
    case SECTOR_CIPHER_CBC:
        if (encrypts) {
            encrypt_cbc(cipher, iv, source, target, len);
        } else {
            decrypt_cbc(cipher, iv, source, target, len);
        }
        break;
    case SECTOR_CIPHER_CTR:
        ctr_crypt(&cipher->encrypt, block->encrypt, block->block_len, iv, len, target, source);
        break;
    case SECTOR_CIPHER_ECB:
    default:
        if (encrypts) {
            block->encrypt(&cipher->encrypt, len, target, source);
        } else {
            block->decrypt(&cipher->decrypt, len, target, source);
        }
        break;
    }
}

static void crypt_units(const struct sector_cipher *cipher, bool encrypts, uint64_t off, const uint8_t *source,
                        uint8_t *target, size_t len)
{
    uint64_t number = cipher->first_number + off / SECTOR_LEN;
    uint32_t unit_len = cipher->data.unit_len;
    for (size_t done = 0; done < len; done += unit_len) {
        crypt_unit(cipher, encrypts, number + done / SECTOR_LEN, source + done, target + done,
                   min_u64(len - done, unit_len));
    }
}

static void decrypt_units(const struct data_cipher *cipher, uint64_t off, const uint8_t *source, uint8_t *target,
                          size_t len)
{
    crypt_units((const struct sector_cipher *)cipher, false, off, source, target, len);
}

static void encrypt_units(const struct data_cipher *cipher, uint64_t off, const uint8_t *source, uint8_t *target,
                          size_t len)
{
    crypt_units((const struct sector_cipher *)cipher, true, off, source, target, len);
}

void sector_cipher_decrypt_all(const struct sector_cipher *cipher, uint8_t *bytes, size_t len)
{
    crypt_units(cipher, false, 0, bytes, bytes, len);
}

void sector_cipher_encrypt_all(const struct sector_cipher *cipher, uint8_t *bytes, size_t len)
{
    crypt_units(cipher, true, 0, bytes, bytes, len);
}

uint32_t sector_cipher_key_len(const char *cipher, const char *mode)
{
    const struct block_cipher *block = block_cipher_find(cipher);
    return block != NULL ? block->key_len * (strcmp(mode, "xts") == 0 ? 2 : 1) : 0;
}

/* The cipher of the IV has a key as long as the hash is, and is of the same family otherwise. */
static bool find_iv_block(const struct block_cipher *block, uint32_t digest_len, const struct block_cipher **ret_block,
                          struct error *error)
{
    const char *shown = strcmp(block->family, "aes") == 0       ? "AES"
                        : strcmp(block->family, "serpent") == 0 ? "Serpent"
                                                                : "Twofish";
    if (block->key_len == digest_len) {
        *ret_block = block;
        return true;
    }
    if (strcmp(block->family, "cast5") == 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Cipher %s not supported with essiv", block->name);
    }
    *ret_block = block_cipher_find_family(block->family, digest_len);
    return *ret_block != NULL ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "No %s cipher with key size %u available", shown, digest_len);
}

static bool init_essiv(struct sector_cipher *cipher, const struct sector_cipher_setup *setup, struct error *error)
{
    uint8_t digest[HASH_DIGEST_LEN_MAX];
    const struct hash *hash = setup->iv_hash != NULL ? hash_find(setup->iv_hash) : NULL;
    if (hash == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Hash algorithm '%s' not supported",
                         setup->iv_hash != NULL ? setup->iv_hash : "");
    }
    RETURN_IF_FAILED(find_iv_block(cipher->block, hash_digest_len(hash), &cipher->iv_block, error));
    hash_digest(hash, setup->key, (struct span){NULL, 0}, digest);
    cipher->iv_block->set_encrypt_key(&cipher->iv_key, digest);
    wipe(digest, sizeof(digest));
    return true;
}

bool sector_cipher_init(struct sector_cipher *cipher, const struct sector_cipher_setup *setup, struct error *error)
{
    const struct block_cipher *block = block_cipher_find(setup->cipher);
    uint32_t mode, iv;
    if (block == NULL || !find_name(mode_names, ARRAY_COUNT(mode_names), setup->mode, &mode) ||
        !find_name(iv_names, ARRAY_COUNT(iv_names), setup->iv, &iv)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported cipher algorithm %s with %s mode", setup->cipher,
                         setup->mode);
    }
    if (mode == SECTOR_CIPHER_XTS && block->block_len != XTS_BLOCK_LEN) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported cipher mode xts");
    }
    *cipher = (struct sector_cipher){
        .data = {.unit_len = setup->unit_len, .decrypt = decrypt_units, .encrypt = encrypt_units},
        .block = block,
        .mode = mode,
        .iv = iv,
        .first_number = setup->first_number,
    };
    if (setup->key.len != sector_cipher_key_len(setup->cipher, setup->mode)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Cipher key length %zu should be %u", setup->key.len,
                         sector_cipher_key_len(setup->cipher, setup->mode));
    }
    block->set_encrypt_key(&cipher->encrypt, setup->key.data);
    block->set_decrypt_key(&cipher->decrypt, setup->key.data);
    if (mode == SECTOR_CIPHER_XTS) {
        block->set_encrypt_key(&cipher->tweak, setup->key.data + block->key_len);
    }
    return iv != SECTOR_CIPHER_ESSIV || init_essiv(cipher, setup, error);
}
