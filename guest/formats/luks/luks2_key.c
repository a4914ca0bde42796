/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks2_key.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/crypto/argon2_key.h"
#include "guest/crypto/hash.h"
#include "guest/crypto/key_split.h"
#include "guest/crypto/luks_key.h"
#include "guest/crypto/wipe.h"
#include "guest/formats/luks/luks.h"

/* What one search works with. */
struct search {
    struct image *image;
    const struct luks2_metadata *metadata;
    struct span password;
    struct sector_cipher *cipher;
    uint8_t *stripes;
    size_t stripes_len;
};

static uint32_t digest_count(const char *hash, uint32_t len)
{
    uint32_t digest_len = hash_digest_len(hash_find(hash));
    return (len + digest_len - 1) / digest_len;
}

/* Each slot is tried once for each digest that names it, and what it makes is looked at once more. */
static bool check_work(const struct luks2_metadata *metadata, struct error *error)
{
    uint64_t kib_passes = 0, iterations = 0;
    for (uint32_t i = 0; i < metadata->digest_count; i++) {
        const struct luks2_digest *digest = &metadata->digests[i];
        for (uint32_t k = 0; k < metadata->slot_count; k++) {
            const struct luks2_slot *slot = &metadata->slots[k];
            if ((digest->slots >> slot->id & 1) == 0 || slot->problem != NULL) {
                continue;
            }
            iterations += (uint64_t)digest->iterations * digest_count(digest->hash, digest->len);
            if (slot->kdf == LUKS2_PBKDF2) {
                iterations += (uint64_t)slot->iterations * digest_count(slot->kdf_hash, slot->area_key_len);
            } else {
                uint64_t product = (uint64_t)slot->passes * slot->memory_kib;
                kib_passes += min_u64(product, LUKS2_KIB_PASSES_MAX + 1ull);
            }
        }
    }
    if (iterations > LUKS_WORK_MAX) {
        return error_set(error, ERROR_LIMIT, NULL,
                         "the key slots take %llu iterations of PBKDF2 together, more than %u",
                         (unsigned long long)iterations, LUKS_WORK_MAX);
    }
    return kib_passes <= LUKS2_KIB_PASSES_MAX ||
           error_set(error, ERROR_LIMIT, NULL,
                     "the key slots take Argon2 over more memory together than %u passes over a GiB",
                     LUKS2_KIB_PASSES_MAX >> 20);
}

static bool derive(const struct search *search, const struct luks2_slot *slot, uint8_t *target, struct error *error)
{
    struct span salt = {slot->salt.bytes, slot->salt.len};
    if (slot->kdf == LUKS2_PBKDF2) {
        hash_pbkdf2(hash_find(slot->kdf_hash), search->password, salt, slot->iterations, target, slot->area_key_len);
        return true;
    }
    const struct argon2_setup setup = {
        .is_hybrid = slot->kdf == LUKS2_ARGON2ID,
        .passes = slot->passes,
        .memory_kib = slot->memory_kib,
        .lanes = slot->lanes,
        .salt = salt,
    };
    return argon2_key(&setup, search->password, search->image->environment->key_arena, target, slot->area_key_len,
                      error);
}

/* The key that the slot has with this passphrase, whether or not that is the right one. */
static bool open_slot(const struct search *search, const struct luks2_slot *slot, uint8_t *ret_key, struct error *error)
{
    uint8_t area_key[SECTOR_CIPHER_KEY_LEN_MAX];
    const struct sector_cipher_setup setup = luks_cipher_setup(&slot->area_cipher, area_key, slot->area_key_len);
    struct file *file = luks_header_file(search->image);
    size_t len = (size_t)round_up((uint64_t)slot->key_len * slot->stripe_count, SECTOR_LEN);
    if (!range_is_within(slot->area_off, len, round_up(file->len, SECTOR_LEN))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Failed to read key material");
    }
    RETURN_IF_FAILED(file_read(file, slot->area_off, search->stripes, len, error));
    bool success = derive(search, slot, area_key, error) && sector_cipher_init(search->cipher, &setup, error);
    wipe(area_key, sizeof(area_key));
    if (success) {
        sector_cipher_decrypt_all(search->cipher, search->stripes, len);
        key_merge(hash_find(slot->split_hash), search->stripes, slot->stripe_count, ret_key, slot->key_len);
    }
    wipe(search->stripes, search->stripes_len);
    wipe(search->cipher, sizeof(*search->cipher));
    return success;
}

static bool is_key(const struct luks2_digest *digest, struct span key)
{
    uint8_t found[LUKS2_SALT_LEN_MAX];
    hash_pbkdf2(hash_find(digest->hash), key, (struct span){digest->salt.bytes, digest->salt.len}, digest->iterations,
                found, digest->len);
    return memcmp(found, digest->bytes, digest->len) == 0;
}

/* Slots of this priority; those that we cannot use are left to others. */
static bool find_by(const struct search *search, uint32_t digest_number, uint32_t priority, struct luks2_keys *keys,
                    struct error *error)
{
    const struct luks2_metadata *metadata = search->metadata;
    const struct luks2_digest *digest = &metadata->digests[digest_number];
    for (uint32_t i = 0; i < metadata->slot_count && !keys->list[digest_number].is_known; i++) {
        const struct luks2_slot *slot = &metadata->slots[i];
        if ((digest->slots >> slot->id & 1) == 0 || slot->priority != priority || slot->problem != NULL) {
            continue;
        }
        uint8_t *key = keys->list[digest_number].bytes;
        if (!open_slot(search, slot, key, error)) {
            wipe(key, sizeof(keys->list[digest_number].bytes));
            return false;
        }
        keys->list[digest_number].len = slot->key_len;
        keys->list[digest_number].is_known = is_key(digest, (struct span){key, slot->key_len});
    }
    return true;
}

static bool report_missing(const struct luks2_metadata *metadata, const struct luks2_digest *digest,
                           struct error *error)
{
    for (uint32_t i = 0; i < metadata->slot_count; i++) {
        const struct luks2_slot *slot = &metadata->slots[i];
        if ((digest->slots >> slot->id & 1) != 0 && slot->problem != NULL) {
            return error_set(error, ERROR_UNSUPPORTED, NULL,
                             "cannot unlock any keyslot; keyslot %u is not supported: %s", slot->id, slot->problem);
        }
    }
    return error_set(error, ERROR_USAGE, NULL, "Invalid password, cannot unlock any keyslot");
}

static bool find_key(const struct search *search, uint32_t digest, struct luks2_keys *keys, struct error *error)
{
    return keys->list[digest].is_known ||
           (find_by(search, digest, 2, keys, error) && find_by(search, digest, 1, keys, error) &&
            (keys->list[digest].is_known ||
             report_missing(search->metadata, &search->metadata->digests[digest], error)));
}

bool luks2_keys_find(struct image *image, const struct luks2_metadata *metadata, struct span password,
                     struct luks2_keys *ret_keys, struct error *error)
{
    struct arena *arena = image->environment->arena;
    struct search search = {
        .image = image,
        .metadata = metadata,
        .password = password,
        .cipher = arena_allocate(arena, sizeof(struct sector_cipher), _Alignof(struct sector_cipher)),
        .stripes_len = (size_t)SECTOR_CIPHER_KEY_LEN_MAX * LUKS2_STRIPES_MAX,
    };
    search.stripes = arena_allocate(arena, search.stripes_len, SECTOR_LEN);
    if (search.cipher == NULL || search.stripes == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the key");
    }
    RETURN_IF_FAILED(check_work(metadata, error));
    *ret_keys = (struct luks2_keys){0};
    for (uint32_t i = 0; i < metadata->segment_count; i++) {
        const struct luks2_segment *segment = &metadata->segments[i];
        RETURN_IF_FAILED(!segment->is_encrypted || find_key(&search, segment->digest, ret_keys, error));
    }
    return true;
}
