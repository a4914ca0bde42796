/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/secret_decode.h"

#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <string.h>

#define KEY_LEN 32u
/* Base64 of an IV, with room for what is too long. */
#define IV_TEXT_LEN_MAX 64u

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool secret_decode_base64(uint8_t *text, size_t len, size_t *ret_len, struct error *error)
{
    uint32_t bits = 0;
    unsigned int digit_count = 0;
    unsigned int padding_count = 0;
    size_t out_len = 0;
    uint8_t group[3];
    if (memchr(text, '\0', len) != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Base64 data contains embedded NUL characters");
    }
    for (size_t i = 0; i < len; i++) {
        const char *digit = strchr(digits, text[i]);
        if (digit == NULL && text[i] != '=' && text[i] != '\n') {
            return error_set(error, ERROR_USAGE, NULL, "Base64 data contains invalid characters");
        }
    }
    /* Four characters are three bytes; a group that is not whole is nothing. */
    for (size_t i = 0; i < len; i++) {
        const char *digit = strchr(digits, text[i]);
        if (text[i] == '\n') {
            continue;
        }
        bits = bits << 6 | (digit != NULL ? (uint32_t)(digit - digits) : 0);
        padding_count = digit != NULL ? 0 : padding_count + 1;
        if (++digit_count % 4 == 0) {
            group[0] = (uint8_t)(bits >> 16);
            group[1] = (uint8_t)(bits >> 8);
            group[2] = (uint8_t)bits;
            size_t group_len = padding_count >= 2 ? 1 : 3 - padding_count;
            memcpy(text + out_len, group, group_len); /* never behind what has been read */
            out_len += group_len;
            bits = 0;
        }
    }
    explicit_bzero(text + out_len, len - out_len);
    explicit_bzero(group, sizeof(group));
    *ret_len = out_len;
    return true;
}

static bool iv_take(const char *text, uint8_t ret_iv[AES_BLOCK_SIZE], struct error *error)
{
    uint8_t bytes[IV_TEXT_LEN_MAX] = {0};
    size_t text_len = strlen(text);
    size_t len = text_len;
    if (text_len <= sizeof(bytes)) {
        memcpy(bytes, text, text_len);
        if (!secret_decode_base64(bytes, text_len, &len, error)) {
            return false;
        }
    }
    if (len != AES_BLOCK_SIZE) {
        return error_set(error, ERROR_USAGE, NULL, "IV should be 16 bytes in length not %zu", len);
    }
    memcpy(ret_iv, bytes, AES_BLOCK_SIZE);
    return true;
}

static void decrypt_blocks(const void *context, size_t len, uint8_t *target, const uint8_t *source)
{
    aes256_decrypt(context, len, target, source);
}

bool secret_decrypt(const struct secret_key *key, uint8_t *bytes, size_t len, size_t *ret_len, struct error *error)
{
    uint8_t iv_bytes[AES_BLOCK_SIZE];
    if (key->key.len != KEY_LEN) {
        return error_set(error, ERROR_USAGE, NULL, "Key should be 32 bytes in length");
    }
    if (key->iv == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "IV is required to decrypt secret");
    }
    RETURN_IF_FAILED(iv_take(key->iv, iv_bytes, error));
    RETURN_IF_FAILED(!key->is_base64 || secret_decode_base64(bytes, len, &len, error));
    if (len == 0 || len % AES_BLOCK_SIZE != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Length %zu must be a multiple of block size 16", len);
    }
    struct aes256_ctx aes;
    aes256_set_decrypt_key(&aes, key->key.data);
    cbc_decrypt(&aes, decrypt_blocks, AES_BLOCK_SIZE, iv_bytes, len, bytes, bytes);
    explicit_bzero(&aes, sizeof(aes));
    uint8_t padding_len = bytes[len - 1];
    if (padding_len > AES_BLOCK_SIZE || padding_len > len) {
        return error_set(error, ERROR_USAGE, NULL, "Incorrect number of padding bytes (%d) found on decrypted data",
                         (int)padding_len);
    }
    *ret_len = len - padding_len;
    return true;
}
