/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/image_cipher.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/wipe.h"

#define AES_KEY_LEN 16u

static bool make_cipher(struct arena *arena, const struct sector_cipher_setup *setup,
                        const struct data_cipher **ret_cipher, struct error *error)
{
    struct sector_cipher *cipher = arena_allocate(arena, sizeof(*cipher), _Alignof(struct sector_cipher));
    if (cipher == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    RETURN_IF_FAILED(sector_cipher_init(cipher, setup, error));
    *ret_cipher = &cipher->data;
    return true;
}

/* As GLib's g_utf8_validate, which takes no NUL: RFC 3629. */
static bool is_utf8(struct span text)
{
    static const struct {
        uint8_t mask;
        uint8_t lead;
        uint32_t min;
    } forms[] = {{0x80, 0, 1}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t off = 0; off < text.len;) { /* ends: a character has a byte at least */
        uint32_t follow_count = 0;
        uint8_t lead = text.data[off++];
        while (follow_count < ARRAY_COUNT(forms) && (lead & forms[follow_count].mask) != forms[follow_count].lead) {
            follow_count++;
        }
        if (follow_count == ARRAY_COUNT(forms) || text.len - off < follow_count) {
            return false;
        }
        uint32_t code = lead & (uint8_t)~forms[follow_count].mask;
        for (uint32_t i = 0; i < follow_count; i++) {
            uint8_t next = text.data[off++];
            if ((next & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (next & 0x3f);
        }
        if (code < forms[follow_count].min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
    }
    return true;
}

struct image_key image_key_find(const struct image_environment *environment, const char *id)
{
    struct image_key key = {.id = id};
    for (uint32_t i = 0; i < environment->secret_count && !key.is_known; i++) {
        const instar_Secret *secret = &environment->secrets[i];
        if (strcmp(secret->id, id) == 0) {
            key.is_known = secret->is_known;
            key.secret = (struct span){secret->data.bytes, secret->data.size};
        }
    }
    return key;
}

bool image_key_check(const struct image_key *key, const char *prefix, struct error *error)
{
    if (key->id == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter '%skey-secret' is required for cipher", prefix);
    }
    if (!key->is_known) {
        return error_set(error, ERROR_USAGE, NULL, "No secret with id '%s'", key->id);
    }
    return is_utf8(key->secret) ||
           error_set(error, ERROR_USAGE, NULL, "Data from secret %s is not valid UTF-8", key->id);
}

bool image_key_check_format(const struct image *image, const char *format, struct error *error)
{
    const char *told = image->key.format;
    if (told == NULL || told[0] == '\0') {
        return true;
    }
    if (format == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "No encryption in image header, but options specified format '%s'",
                         told);
    }
    return strcmp(told, format) == 0 ||
           error_set(error, ERROR_USAGE, NULL, "Header reported '%s' encryption format but options specify '%s'",
                     format, told);
}

bool image_cipher_open_luks(struct image *image, const struct luks_header *luks, const struct luks_place *place,
                            const char *prefix, struct error *error)
{
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    RETURN_IF_FAILED(image_key_check(&image->key, prefix, error));
    RETURN_IF_FAILED(luks_key_find(luks, place, image->key.secret, image->environment->arena, key, error));
    const struct sector_cipher_setup setup = luks_cipher_setup(&luks->cipher, key, luks->key_len);
    bool success = make_cipher(image->environment->arena, &setup, &image->cipher, error);
    wipe(key, sizeof(key));
    return success;
}

bool image_cipher_make_aes(const struct image_key *key, struct arena *arena, const struct data_cipher **ret_cipher,
                           struct error *error)
{
    uint8_t bytes[AES_KEY_LEN] = {0};
    RETURN_IF_FAILED(image_key_check(key, "encrypt.", error));
    memcpy(bytes, key->secret.data, min_u64(key->secret.len, sizeof(bytes)));
    const struct sector_cipher_setup setup = {
        .cipher = "aes-128",
        .mode = "cbc",
        .iv = "plain64",
        .unit_len = LUKS_SECTOR_LEN,
        .key = {bytes, sizeof(bytes)},
    };
    bool success = make_cipher(arena, &setup, ret_cipher, error);
    wipe(bytes, sizeof(bytes));
    return success;
}

bool image_cipher_open_aes(struct image *image, struct error *error)
{
    return image_cipher_make_aes(&image->key, image->environment->arena, &image->cipher, error);
}
