/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON text of a LUKS2 header, without its checksum: what comes of it is refused, or within all bounds. */
#include <string.h>

#include "base/checked.h"
#include "fuzz.h"
#include "guest/crypto/argon2_key.h"
#include "guest/formats/luks/luks2_metadata.h"

#define HEADER_LEN 16384u
#define MEMORY_LEN (1u << 20)

static void slot_check(const struct luks2_slot *slot)
{
    FUZZ_ASSERT(slot->id < LUKS2_SLOTS_MAX && slot->priority <= 2);
    if (slot->problem != NULL) {
        FUZZ_ASSERT(strlen(slot->problem) < 256);
        return;
    }
    FUZZ_ASSERT(slot->key_len > 0 && slot->key_len <= SECTOR_CIPHER_KEY_LEN_MAX);
    FUZZ_ASSERT(slot->area_key_len > 0 && slot->area_key_len <= SECTOR_CIPHER_KEY_LEN_MAX);
    FUZZ_ASSERT(slot->stripe_count > 0 && slot->stripe_count <= LUKS2_STRIPES_MAX);
    FUZZ_ASSERT((uint64_t)slot->key_len * slot->stripe_count <= slot->area_len);
    FUZZ_ASSERT(slot->area_off >= (uint64_t)2 * HEADER_LEN && slot->area_off <= UINT64_MAX - slot->area_len);
    FUZZ_ASSERT(slot->salt.len > 0 && slot->salt.len <= LUKS2_SALT_LEN_MAX && slot->split_hash != NULL);
    if (slot->kdf == LUKS2_PBKDF2) {
        FUZZ_ASSERT(slot->iterations > 0 && slot->kdf_hash != NULL);
    } else {
        FUZZ_ASSERT(slot->passes > 0 && slot->lanes > 0 && slot->lanes <= ARGON2_LANES_MAX);
        FUZZ_ASSERT(slot->memory_kib >= 8 * slot->lanes && slot->salt.len >= ARGON2_SALT_LEN_MIN);
    }
}

static void metadata_check(const struct luks2_metadata *metadata)
{
    FUZZ_ASSERT(metadata->slot_count <= LUKS2_SLOTS_MAX && metadata->digest_count <= LUKS2_DIGESTS_MAX);
    FUZZ_ASSERT(metadata->segment_count > 0 && metadata->segment_count <= LUKS2_SEGMENTS_MAX);
    for (uint32_t i = 0; i < metadata->slot_count; i++) {
        slot_check(&metadata->slots[i]);
        FUZZ_ASSERT(i == 0 || metadata->slots[i - 1].id < metadata->slots[i].id);
    }
    for (uint32_t i = 0; i < metadata->digest_count; i++) {
        const struct luks2_digest *digest = &metadata->digests[i];
        FUZZ_ASSERT(digest->len > 0 && digest->len <= LUKS2_SALT_LEN_MAX && digest->iterations > 0);
    }
    for (uint32_t i = 0; i < metadata->segment_count; i++) {
        const struct luks2_segment *segment = &metadata->segments[i];
        FUZZ_ASSERT(segment->id == i && (segment->len != 0 || i + 1 == metadata->segment_count));
        FUZZ_ASSERT(!segment->is_encrypted ||
                    (segment->digest < metadata->digest_count && is_power_of_two(segment->sector_len) &&
                     segment->sector_len >= 512 && segment->sector_len <= DATA_CIPHER_UNIT_LEN_MAX &&
                     segment->key_len == sector_cipher_key_len(segment->cipher.cipher, segment->cipher.mode)));
    }
}

void fuzz_one(const uint8_t *data, size_t len)
{
    static struct luks2_metadata metadata;
    struct error error = {0};
    struct arena arena;
    if (len > HEADER_LEN - 4096) {
        return;
    }
    void *memory = calloc(1, MEMORY_LEN);
    FUZZ_ASSERT(memory != NULL);
    for (uint32_t is_elsewhere = 0; is_elsewhere < 2; is_elsewhere++) {
        const struct luks2_header header = {.len = HEADER_LEN, .json = {data, len}};
        arena_init(&arena, (uint64_t)(uintptr_t)memory, MEMORY_LEN);
        memset(memory, 0, MEMORY_LEN);
        error = (struct error){0};
        if (luks2_metadata_parse(&header, is_elsewhere != 0, &arena, &metadata, &error)) {
            FUZZ_ASSERT(!error_is_set(&error));
            metadata_check(&metadata);
        } else {
            FUZZ_ASSERT(error_is_set(&error) && error.detail[0] != '\0');
        }
    }
    free(memory);
}
