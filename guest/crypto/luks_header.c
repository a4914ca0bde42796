/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_header.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/detail.h"

#define VERSION 1u
/* Header and key material begin at multiples of this, and have no less. */
#define ALIGNMENT 4096u
#define STRIPES 4000u
#define SLOT_ACTIVE 0x00ac71f3u
#define SLOT_DISABLED 0x0000deadu
#define TEXT_LEN 32u

struct slot_disk {
    struct be32 active;
    struct be32 iterations;
    uint8_t salt[LUKS_SALT_LEN];
    struct be32 key_material_offset; /* sectors */
    struct be32 stripes;
};

struct luks_disk {
    uint8_t magic[6];
    struct be16 version;
    char cipher_name[TEXT_LEN];
    char cipher_mode[TEXT_LEN];
    char hash_spec[TEXT_LEN];
    struct be32 payload_offset; /* sectors */
    struct be32 key_bytes;
    uint8_t mk_digest[LUKS_DIGEST_LEN];
    uint8_t mk_digest_salt[LUKS_SALT_LEN];
    struct be32 mk_digest_iterations;
    char uuid[40];
    struct slot_disk slots[LUKS_SLOT_COUNT];
};

_Static_assert(sizeof(struct luks_disk) == LUKS_HEADER_LEN, "the partition header of the specification");

static const uint8_t magic[] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

static bool check_text(const char *text, const char *what, struct error *error)
{
    return memchr(text, '\0', TEXT_LEN) != NULL ||
           error_set(error, ERROR_MALFORMED, NULL, "LUKS header %s is not NUL terminated", what);
}

/* The key material of a slot ends here; bytes, 43 bits at most. */
static uint64_t slot_end_off(const struct luks_disk *disk, uint32_t index)
{
    uint64_t material_len = (uint64_t)be32_get(disk->key_bytes) * STRIPES;
    return (uint64_t)be32_get(disk->slots[index].key_material_offset) * LUKS_SECTOR_LEN +
           round_up(material_len, ALIGNMENT);
}

static bool check_slot(const struct luks_disk *disk, uint32_t index, bool is_detached, struct error *error)
{
    const struct slot_disk *slot = &disk->slots[index];
    uint64_t key_off = (uint64_t)be32_get(slot->key_material_offset) * LUKS_SECTOR_LEN;
    uint32_t active = be32_get(slot->active);
    if (be32_get(slot->stripes) != STRIPES) {
        return error_set(error, ERROR_MALFORMED, NULL, "Keyslot %u is corrupted (stripes %d != %u)", index,
                         (int)be32_get(slot->stripes), STRIPES);
    }
    if (key_off < round_up(LUKS_HEADER_LEN, ALIGNMENT)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Keyslot %u is overlapping with the LUKS header", index);
    }
    if (active != SLOT_ACTIVE && active != SLOT_DISABLED) {
        return error_set(error, ERROR_MALFORMED, NULL, "Keyslot %u state (active/disable) is corrupted", index);
    }
    if (active == SLOT_ACTIVE && be32_get(slot->iterations) == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Keyslot %u iteration count is zero", index);
    }
    /* 32 bits of sectors: QEMU lets pass what wraps there. */
    if (!is_detached && (uint32_t)(slot_end_off(disk, index) / LUKS_SECTOR_LEN) > be32_get(disk->payload_offset)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Keyslot %u is overlapping with the encrypted payload", index);
    }
    for (uint32_t other = index + 1; other < LUKS_SLOT_COUNT; other++) {
        uint64_t other_off = (uint64_t)be32_get(disk->slots[other].key_material_offset) * LUKS_SECTOR_LEN;
        if (key_off < slot_end_off(disk, other) && other_off < slot_end_off(disk, index)) {
            return error_set(error, ERROR_MALFORMED, NULL, "Keyslots %u and %u are overlapping in the header", index,
                             other);
        }
    }
    return true;
}

static bool check_header(const struct luks_disk *disk, bool is_detached, struct error *error)
{
    if (memcmp(disk->magic, magic, sizeof(disk->magic)) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Volume is not in LUKS format");
    }
    if (be16_get(disk->version) != VERSION) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS version %u is not supported", be16_get(disk->version));
    }
    RETURN_IF_FAILED(check_text(disk->cipher_name, "cipher name", error));
    RETURN_IF_FAILED(check_text(disk->cipher_mode, "cipher mode", error));
    RETURN_IF_FAILED(check_text(disk->hash_spec, "hash spec", error));
    if (!is_detached &&
        (uint64_t)be32_get(disk->payload_offset) * LUKS_SECTOR_LEN < round_up(LUKS_HEADER_LEN, ALIGNMENT)) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS payload is overlapping with the header");
    }
    if (be32_get(disk->mk_digest_iterations) == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS key iteration count is zero");
    }
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        RETURN_IF_FAILED(check_slot(disk, i, is_detached, error));
    }
    return true;
}

bool luks_header_probe(struct span head)
{
    struct be16 version;
    return head.len >= sizeof(magic) && memcmp(head.data, magic, sizeof(magic)) == 0 &&
           span_copy(head, sizeof(magic), &version, sizeof(version)) && be16_get(version) == VERSION;
}

bool luks_header_parse(struct span bytes, bool is_detached, struct luks_header *ret_luks, struct error *error)
{
    struct luks_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Request for data outside of extension header");
    }
    RETURN_IF_FAILED(check_header(&disk, is_detached, error));
    struct luks_header luks = {
        .is_detached = is_detached,
        .key_len = be32_get(disk.key_bytes),
        .master_key_iterations = be32_get(disk.mk_digest_iterations),
        .payload_off = (uint64_t)be32_get(disk.payload_offset) * LUKS_SECTOR_LEN,
    };
    RETURN_IF_FAILED(luks_cipher_parse(disk.cipher_name, disk.cipher_mode, luks.key_len, &luks.cipher, error));
    RETURN_IF_FAILED(luks_hash_find(disk.hash_spec, &luks.hash, error));
    memcpy(luks.uuid, disk.uuid, sizeof(disk.uuid));
    memcpy(luks.key_digest, disk.mk_digest, sizeof(luks.key_digest));
    memcpy(luks.key_digest_salt, disk.mk_digest_salt, sizeof(luks.key_digest_salt));
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        luks.slots[i] = (struct luks_slot){
            .is_active = be32_get(disk.slots[i].active) == SLOT_ACTIVE,
            .iterations = be32_get(disk.slots[i].iterations),
            .stripes = be32_get(disk.slots[i].stripes),
            .key_off = (uint64_t)be32_get(disk.slots[i].key_material_offset) * LUKS_SECTOR_LEN,
        };
        memcpy(luks.slots[i].salt, disk.slots[i].salt, sizeof(luks.slots[i].salt));
    }
    *ret_luks = luks;
    return true;
}

void luks_header_emit_slots(const struct luks_header *luks, uint8_t *bytes)
{
    struct luks_disk disk;
    memcpy(&disk, bytes, sizeof(disk));
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        const struct luks_slot *slot = &luks->slots[i];
        disk.slots[i].active = be32_make(slot->is_active ? SLOT_ACTIVE : SLOT_DISABLED);
        disk.slots[i].iterations = be32_make(slot->iterations);
        disk.slots[i].key_material_offset = be32_make((uint32_t)(slot->key_off / LUKS_SECTOR_LEN));
        disk.slots[i].stripes = be32_make(slot->stripes);
        memcpy(disk.slots[i].salt, slot->salt, sizeof(slot->salt));
    }
    memcpy(bytes, &disk, sizeof(disk));
}

void luks_header_emit(const struct luks_header *luks, uint8_t *ret_bytes)
{
    struct luks_disk disk = {
        .version = be16_make(VERSION),
        .payload_offset = be32_make((uint32_t)(luks->payload_off / LUKS_SECTOR_LEN)),
        .key_bytes = be32_make(luks->key_len),
        .mk_digest_iterations = be32_make(luks->master_key_iterations),
    };
    const char *ivgen_hash = luks->cipher.ivgen_hash;
    memcpy(disk.magic, magic, sizeof(magic));
    snprintf(disk.cipher_name, sizeof(disk.cipher_name), "%s", luks_cipher_family(luks->cipher.cipher));
    snprintf(disk.cipher_mode, sizeof(disk.cipher_mode), "%s-%s%s%s", luks->cipher.mode, luks->cipher.ivgen,
             ivgen_hash != NULL ? ":" : "", ivgen_hash != NULL ? ivgen_hash : "");
    snprintf(disk.hash_spec, sizeof(disk.hash_spec), "%s", luks->hash);
    memcpy(disk.mk_digest, luks->key_digest, sizeof(disk.mk_digest));
    memcpy(disk.mk_digest_salt, luks->key_digest_salt, sizeof(disk.mk_digest_salt));
    memcpy(disk.uuid, luks->uuid, sizeof(disk.uuid));
    memcpy(ret_bytes, &disk, sizeof(disk));
    luks_header_emit_slots(luks, ret_bytes);
}

static void describe_slots(const struct luks_header *luks)
{
    detail_list("slots");
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        const struct luks_slot *slot = &luks->slots[i];
        detail_object(NULL);
        detail_bool("active", slot->is_active);
        if (slot->is_active) {
            detail_number("iters", slot->iterations);
        }
        detail_number("key-offset", (int64_t)slot->key_off);
        if (slot->is_active) {
            detail_number("stripes", slot->stripes);
        }
        detail_end();
    }
    detail_end();
}

void luks_header_describe(const struct luks_header *luks, const char *format)
{
    detail_word("ivgen-alg", luks->cipher.ivgen);
    if (luks->is_detached) {
        detail_bool("detached-header", true); /* as newer versions of QEMU have it, which tell of others, too */
    }
    detail_word("hash-alg", luks->hash);
    detail_word("cipher-alg", luks->cipher.cipher);
    detail_word("uuid", luks->uuid);
    if (luks->cipher.ivgen_hash != NULL) {
        detail_word("ivgen-hash-alg", luks->cipher.ivgen_hash);
    }
    if (format != NULL) {
        detail_word("format", format);
    }
    detail_word("cipher-mode", luks->cipher.mode);
    describe_slots(luks);
    detail_number("payload-offset", (int64_t)luks->payload_off);
    detail_number("master-key-iters", luks->master_key_iterations);
}
