/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_key.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/key_split.h"
#include "guest/crypto/wipe.h"

static bool check_sizes(const struct luks_header *luks, struct error *error)
{
    uint32_t key_len = sector_cipher_key_len(luks->cipher.cipher, luks->cipher.mode);
    if (luks->key_len != key_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "Cipher key length %u should be %u", luks->key_len, key_len);
    }
    if (luks->master_key_iterations > LUKS_ITERATIONS_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the check of the LUKS key takes %u iterations, more than %u",
                         luks->master_key_iterations, LUKS_ITERATIONS_MAX);
    }
    uint64_t work = 0;
    uint32_t digest_len = hash_digest_len(hash_find(luks->hash));
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        const struct luks_slot *slot = &luks->slots[i];
        if (slot->is_active && slot->iterations > LUKS_ITERATIONS_MAX) {
            return error_set(error, ERROR_LIMIT, NULL, "Keyslot %u takes %u iterations, more than %u", i,
                             slot->iterations, LUKS_ITERATIONS_MAX);
        }
        /* Each takes them for every digest that its key consists of; and the check of a key comes for each one. */
        uint64_t digests = (luks->key_len + digest_len - 1) / digest_len;
        work += slot->is_active ? slot->iterations * digests + luks->master_key_iterations : 0;
    }
    if (work > LUKS_WORK_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the key slots take %llu iterations of %s together, more than %u",
                         (unsigned long long)work, luks->hash, LUKS_WORK_MAX);
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
    const struct sector_cipher_setup setup = luks_cipher_setup(&luks->cipher, slot_key, luks->key_len);
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

/* Memory to open slots with. */
struct key_memory {
    struct sector_cipher *cipher;
    uint8_t *stripes;
    size_t stripes_len;
};

static bool memory_take(const struct luks_header *luks, struct arena *arena, struct key_memory *ret_memory,
                        struct error *error)
{
    size_t len = (size_t)luks->key_len * luks->slots[0].stripes; /* the same in all of them */
    *ret_memory = (struct key_memory){
        .cipher = arena_allocate(arena, sizeof(struct sector_cipher), _Alignof(struct sector_cipher)),
        .stripes = arena_allocate(arena, len, LUKS_SECTOR_LEN),
        .stripes_len = len,
    };
    return (ret_memory->cipher != NULL && ret_memory->stripes != NULL) ||
           error_set(error, ERROR_LIMIT, NULL, "no memory is left for the key");
}

static bool try_slot(const struct luks_header *luks, const struct luks_place *place, const struct luks_slot *slot,
                     struct span password, const struct key_memory *memory, uint8_t *ret_key, bool *ret_is_key,
                     struct error *error)
{
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    RETURN_IF_FAILED(read_stripes(slot, place, memory->stripes, memory->stripes_len, error));
    RETURN_IF_FAILED(open_slot(luks, slot, password, memory->cipher, memory->stripes, key, error));
    wipe(memory->stripes, memory->stripes_len);
    *ret_is_key = is_key(luks, key);
    if (*ret_is_key) {
        memcpy(ret_key, key, luks->key_len);
    }
    wipe(key, sizeof(key));
    return true;
}

bool luks_key_try(const struct luks_header *luks, const struct luks_place *place, uint32_t slot, struct span password,
                  struct arena *arena, uint8_t *ret_key, bool *ret_is_key, struct error *error)
{
    struct key_memory memory;
    return check_sizes(luks, error) && memory_take(luks, arena, &memory, error) &&
           try_slot(luks, place, &luks->slots[slot], password, &memory, ret_key, ret_is_key, error);
}

bool luks_key_find(const struct luks_header *luks, const struct luks_place *place, struct span password,
                   struct arena *arena, uint8_t *ret_key, struct error *error)
{
    struct key_memory memory;
    bool is_found = false;
    RETURN_IF_FAILED(check_sizes(luks, error));
    RETURN_IF_FAILED(memory_take(luks, arena, &memory, error));
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT && !is_found; i++) {
        RETURN_IF_FAILED(!luks->slots[i].is_active ||
                         try_slot(luks, place, &luks->slots[i], password, &memory, ret_key, &is_found, error));
    }
    return is_found || error_set(error, ERROR_USAGE, NULL, "Invalid password, cannot unlock any keyslot");
}
