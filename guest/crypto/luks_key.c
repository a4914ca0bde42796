/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_key.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/key_split.h"
#include "guest/crypto/wipe.h"

static bool check_sizes(const struct luks_header *luks, struct error *error)
{
    uint32_t key_len = sector_cipher_key_len(luks->cipher, luks->cipher_mode);
    if (luks->key_len != key_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Cipher key length %u should be %u", luks->key_len, key_len);
    }
    if (luks->master_key_iterations > LUKS_ITERATIONS_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the check of the LUKS key takes %u iterations, more than %u",
                         luks->master_key_iterations, LUKS_ITERATIONS_MAX);
    }
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        if (luks->slots[i].is_active && luks->slots[i].iterations > LUKS_ITERATIONS_MAX) {
            return error_set(error, ERROR_LIMIT, NULL, "Keyslot %u takes %u iterations, more than %u", i,
                             luks->slots[i].iterations, LUKS_ITERATIONS_MAX);
        }
    }
    return true;
}

/* The slot's stripes, as they are stored. */
static bool read_stripes(const struct luks_slot *slot, const struct luks_place *place, uint8_t *stripes, size_t len,
                         struct error *error)
{
    uint64_t off;
    if (!checked_add(place->off, slot->key_off, &off) || !range_is_within(off, len, FILE_END_MAX) ||
        (place->len != 0 && !range_is_within(slot->key_off, len, place->len)) ||
        !range_is_within(off, len, round_up(place->file->len, LUKS_SECTOR_LEN))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Failed to read key material");
    }
    return file_read(place->file, off, stripes, len, error);
}

/* The key that the slot has with this passphrase, whether or not that is the right one. */
static bool open_slot(const struct luks_header *luks, const struct luks_slot *slot, struct span password,
                      struct sector_cipher *cipher, uint8_t *stripes, uint8_t *ret_key, struct error *error)
{
    const struct hash *hash = hash_find(luks->hash);
    uint8_t slot_key[SECTOR_CIPHER_KEY_LEN_MAX];
    hash_pbkdf2(hash, password, (struct span){slot->salt, LUKS_SALT_LEN}, slot->iterations, slot_key, luks->key_len);
    const struct sector_cipher_setup setup = {
        .cipher = luks->cipher,
        .mode = luks->cipher_mode,
        .iv = luks->ivgen,
        .iv_hash = luks->ivgen_hash,
        .unit_len = LUKS_SECTOR_LEN,
        .key = {slot_key, luks->key_len},
    };
    bool success = sector_cipher_init(cipher, &setup, error);
    wipe(slot_key, sizeof(slot_key));
    if (success) {
        sector_cipher_decrypt_all(cipher, stripes, (size_t)luks->key_len * slot->stripes);
        key_merge(hash, stripes, slot->stripes, ret_key, luks->key_len);
    }
    wipe(cipher, sizeof(*cipher));
    return success;
}

static bool is_key(const struct luks_header *luks, const uint8_t *key)
{
    uint8_t digest[LUKS_DIGEST_LEN];
    hash_pbkdf2(hash_find(luks->hash), (struct span){key, luks->key_len},
                (struct span){luks->key_digest_salt, LUKS_SALT_LEN}, luks->master_key_iterations, digest,
                sizeof(digest));
    return memcmp(digest, luks->key_digest, sizeof(digest)) == 0;
}

bool luks_key_find(const struct luks_header *luks, const struct luks_place *place, struct span password,
                   struct arena *arena, uint8_t *ret_key, struct error *error)
{
    RETURN_IF_FAILED(check_sizes(luks, error));
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    size_t stripes_len = (size_t)luks->key_len * luks->slots[0].stripes; /* the same in all of them */
    struct sector_cipher *cipher = arena_allocate(arena, sizeof(*cipher), _Alignof(struct sector_cipher));
    uint8_t *stripes = arena_allocate(arena, stripes_len, LUKS_SECTOR_LEN);
    bool is_found = false;
    if (cipher == NULL || stripes == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the key");
    }
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT && !is_found; i++) {
        const struct luks_slot *slot = &luks->slots[i];
        if (!slot->is_active) {
            continue;
        }
        RETURN_IF_FAILED(read_stripes(slot, place, stripes, stripes_len, error));
        RETURN_IF_FAILED(open_slot(luks, slot, password, cipher, stripes, key, error));
        is_found = is_key(luks, key);
    }
    wipe(stripes, stripes_len);
    if (is_found) {
        memcpy(ret_key, key, luks->key_len);
    }
    wipe(key, sizeof(key));
    return is_found || error_set(error, ERROR_USAGE, NULL, "Invalid password, cannot unlock any keyslot");
}
