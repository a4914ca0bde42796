/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_cipher.h"

#include <string.h>

#include "base/units.h"

static const char *const hashes[] = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"};
static const char *const modes[] = {"ecb", "cbc", "xts", "ctr"};
static const char *const ivgens[] = {"plain", "plain64", "essiv"};
static const struct {
    const char *luks;
    uint32_t key_len; /* bytes */
    const char *qemu;
} ciphers[] = {
    {"aes", 16, "aes-128"},         {"aes", 24, "aes-192"},         {"aes", 32, "aes-256"},
    {"cast5", 16, "cast5-128"},     {"serpent", 16, "serpent-128"}, {"serpent", 24, "serpent-192"},
    {"serpent", 32, "serpent-256"}, {"twofish", 16, "twofish-128"}, {"twofish", 24, "twofish-192"},
    {"twofish", 32, "twofish-256"},
};

static const char *find_word(const char *const *words, size_t word_count, const char *text, size_t len)
{
    for (size_t i = 0; i < word_count; i++) {
        if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0) {
            return words[i];
        }
    }
    return NULL;
}

bool luks_hash_find(const char *text, const char **ret_hash, struct error *error)
{
    const char *hash = find_word(hashes, ARRAY_COUNT(hashes), text, strlen(text));
    if (hash == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Hash algorithm '%s' not supported", text);
    }
    *ret_hash = hash;
    return true;
}

static bool find_cipher(const char *family, uint32_t key_len, struct luks_cipher *cipher, struct error *error)
{
    uint32_t part_len = key_len / (strcmp(cipher->mode, "xts") == 0 ? 2 : 1); /* XTS takes two keys */
    for (size_t i = 0; i < ARRAY_COUNT(ciphers); i++) {
        if (ciphers[i].key_len == part_len && strcmp(ciphers[i].luks, family) == 0) {
            cipher->cipher = ciphers[i].qemu;
            return true;
        }
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "Algorithm '%s' with key size %u bytes not supported", family,
                     part_len);
}

static bool find_ivgen(const char *text, size_t len, struct luks_cipher *cipher, struct error *error)
{
    cipher->ivgen = find_word(ivgens, ARRAY_COUNT(ivgens), text, len);
    if (cipher->ivgen == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "IV generator '%.*s' not supported", (int)len, text);
    }
    if (strcmp(cipher->ivgen, "essiv") != 0) {
        cipher->ivgen_hash = NULL; /* no other one has a hash */
        return true;
    }
    return cipher->ivgen_hash != NULL ||
           error_set(error, ERROR_MALFORMED, NULL, "Missing IV generator hash specification");
}

bool luks_cipher_parse(const char *family, const char *mode, uint32_t key_len, struct luks_cipher *ret_cipher,
                       struct error *error)
{
    struct luks_cipher cipher = {.ivgen_hash = NULL};
    const char *dash = strchr(mode, '-');
    if (dash == NULL) {
        return error_set(error, ERROR_MALFORMED, NULL, "Unexpected cipher mode string format '%s'", mode);
    }
    const char *ivgen = dash + 1;
    const char *colon = strchr(ivgen, ':');
    RETURN_IF_FAILED(colon == NULL || luks_hash_find(colon + 1, &cipher.ivgen_hash, error));
    size_t mode_len = (size_t)(dash - mode);
    cipher.mode = find_word(modes, ARRAY_COUNT(modes), mode, mode_len);
    if (cipher.mode == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Cipher mode '%.*s' not supported", (int)mode_len, mode);
    }
    RETURN_IF_FAILED(find_cipher(family, key_len, &cipher, error));
    RETURN_IF_FAILED(find_ivgen(ivgen, colon != NULL ? (size_t)(colon - ivgen) : strlen(ivgen), &cipher, error));
    *ret_cipher = cipher;
    return true;
}

const char *luks_cipher_family(const char *cipher)
{
    for (size_t i = 0; i < ARRAY_COUNT(ciphers); i++) {
        if (strcmp(ciphers[i].qemu, cipher) == 0) {
            return ciphers[i].luks;
        }
    }
    return "";
}

struct sector_cipher_setup luks_cipher_setup(const struct luks_cipher *cipher, const uint8_t *key, uint32_t key_len)
{
    return (struct sector_cipher_setup){
        .cipher = cipher->cipher,
        .mode = cipher->mode,
        .iv = cipher->ivgen,
        .iv_hash = cipher->ivgen_hash,
        .unit_len = SECTOR_LEN,
        .key = {key, key_len},
    };
}
