/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks2_metadata.h"

#include <nettle/base64.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/crypto/argon2_key.h"
#include "guest/crypto/hash.h"

#define NAME_LEN 64u
#define BASE64_LEN_MAX (BASE64_ENCODE_RAW_LENGTH(LUKS2_SALT_LEN_MAX) + 1)
#define AREA_ALIGNMENT 4096u

/* What is parsed, and where: for errors. */
struct place {
    const struct json *json;
    const char *kind; /* "keyslot" */
    uint64_t id;
};

static bool fail(const struct place *place, const char *what, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: %s %llu: %s", place->kind,
                     (unsigned long long)place->id, what);
}

/* A whole number below 2^32, from `least` on. */
static bool take_number(const struct place *place, const struct json_value *object, const char *key, uint32_t least,
                        uint32_t *ret_number, struct error *error)
{
    uint64_t number;
    if (!json_number(place->json, json_member(place->json, object, key), &number) || number < least ||
        number > UINT32_MAX) {
        return fail(place, key, error);
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* Bytes, as a text. */
static bool take_off(const struct place *place, const struct json_value *object, const char *key, uint64_t *ret_off,
                     struct error *error)
{
    return json_number_text(place->json, json_member(place->json, object, key), ret_off) || fail(place, key, error);
}

static bool take_base64(const struct place *place, const struct json_value *object, const char *key, uint8_t *target,
                        uint32_t *ret_len, struct error *error)
{
    char text[BASE64_LEN_MAX];
    uint8_t bytes[BASE64_DECODE_LENGTH(BASE64_LEN_MAX)];
    struct base64_decode_ctx context;
    size_t len = 0;
    base64_decode_init(&context);
    if (!json_text(place->json, json_member(place->json, object, key), text, sizeof(text)) ||
        !base64_decode_update(&context, &len, bytes, strlen(text), text) || !base64_decode_final(&context) ||
        len == 0 || len > LUKS2_SALT_LEN_MAX) {
        return fail(place, key, error);
    }
    memcpy(target, bytes, len);
    *ret_len = (uint32_t)len;
    return true;
}

static bool take_hash(const struct place *place, const struct json_value *object, const char **ret_hash,
                      struct error *error)
{
    char text[NAME_LEN];
    return json_text(place->json, json_member(place->json, object, "hash"), text, sizeof(text))
               ? luks_hash_find(text, ret_hash, error)
               : fail(place, "hash", error);
}

/* "aes-xts-plain64" */
static bool take_cipher(const struct place *place, const struct json_value *object, uint32_t key_len,
                        struct luks_cipher *ret_cipher, struct error *error)
{
    char text[NAME_LEN];
    if (!json_text(place->json, json_member(place->json, object, "encryption"), text, sizeof(text))) {
        return fail(place, "encryption", error);
    }
    char *dash = strchr(text, '-');
    if (dash == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Algorithm '%s' not supported", text);
    }
    *dash = '\0';
    const char *mode = strcmp(dash + 1, "ecb") == 0 ? "ecb-plain64" : dash + 1; /* has no IV, and needs none */
    RETURN_IF_FAILED(luks_cipher_parse(text, mode, key_len, ret_cipher, error));
    uint32_t wanted_len = sector_cipher_key_len(ret_cipher->cipher, ret_cipher->mode);
    return key_len == wanted_len ||
           error_set(error, ERROR_MALFORMED, NULL, "Cipher key length %u should be %u", key_len, wanted_len);
}

static bool take_kdf(const struct place *place, const struct json_value *kdf, struct luks2_slot *slot,
                     struct error *error)
{
    char type[NAME_LEN];
    const struct json *json = place->json;
    if (!json_text(json, json_member(json, kdf, "type"), type, sizeof(type))) {
        return fail(place, "kdf", error);
    }
    RETURN_IF_FAILED(take_base64(place, kdf, "salt", slot->salt.bytes, &slot->salt.len, error));
    if (strcmp(type, "pbkdf2") == 0) {
        slot->kdf = LUKS2_PBKDF2;
        return take_number(place, kdf, "iterations", 1, &slot->iterations, error) &&
               take_hash(place, kdf, &slot->kdf_hash, error);
    }
    if (strcmp(type, "argon2i") != 0 && strcmp(type, "argon2id") != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "keys are not made by '%s' here", type);
    }
    slot->kdf = strcmp(type, "argon2i") == 0 ? LUKS2_ARGON2I : LUKS2_ARGON2ID;
    RETURN_IF_FAILED(take_number(place, kdf, "time", 1, &slot->passes, error) &&
                     take_number(place, kdf, "memory", 1, &slot->memory_kib, error) &&
                     take_number(place, kdf, "cpus", 1, &slot->lanes, error));
    if (slot->lanes > ARGON2_LANES_MAX || slot->memory_kib < 8 * slot->lanes) {
        return fail(place, "cpus", error);
    }
    return slot->salt.len >= ARGON2_SALT_LEN_MIN || fail(place, "salt", error);
}

static bool take_area(const struct place *place, const struct json_value *area, const struct luks2_header *header,
                      uint64_t areas_end, struct luks2_slot *slot, struct error *error)
{
    RETURN_IF_FAILED(take_off(place, area, "offset", &slot->area_off, error) &&
                     take_off(place, area, "size", &slot->area_len, error));
    if (slot->area_off < 2 * header->len || !range_is_within(slot->area_off, slot->area_len, areas_end)) {
        return fail(place, "the area is not where key slots are", error);
    }
    if (!json_is(place->json, json_member(place->json, area, "type"), "raw")) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "its area is not \"raw\"");
    }
    return take_number(place, area, "key_size", 1, &slot->area_key_len, error) &&
           take_cipher(place, area, slot->area_key_len, &slot->area_cipher, error);
}

/* What only a slot that we can use has. */
static bool take_usable(const struct place *place, const struct json_value *object, struct luks2_slot *slot,
                        struct error *error)
{
    const struct json *json = place->json;
    const struct json_value *split = json_member(json, object, "af");
    if (!json_is(json, json_member(json, object, "type"), "luks2")) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "its type is not \"luks2\"");
    }
    if (!json_is(json, json_member(json, split, "type"), "luks1")) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "its key is not split as by LUKS1");
    }
    RETURN_IF_FAILED(take_number(place, split, "stripes", 1, &slot->stripe_count, error) &&
                     take_hash(place, split, &slot->split_hash, error));
    if (slot->stripe_count > LUKS2_STRIPES_MAX) {
        return fail(place, "more than 4000 stripes", error);
    }
    if (round_up((uint64_t)slot->key_len * slot->stripe_count, SECTOR_LEN) > slot->area_len) {
        return fail(place, "the area is too small for the stripes", error);
    }
    return take_kdf(place, json_member(json, object, "kdf"), slot, error);
}

_Static_assert(LUKS2_STRIPES_MAX == 4000, "the message names it");

static bool take_slot(const struct json *json, const struct json_value *object, const struct luks2_header *header,
                      uint64_t areas_end, struct luks2_slot *slot, struct error *error)
{
    struct place place = {.json = json, .kind = "keyslot"};
    uint64_t priority = 1;
    struct error problem = {0};
    if (!json_key_number(json, object, &place.id) || place.id >= LUKS2_SLOTS_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: a keyslot's number");
    }
    slot->id = (uint32_t)place.id;
    const struct json_value *wish = json_member(json, object, "priority");
    if (wish != NULL && (!json_number(json, wish, &priority) || priority > 2)) {
        return fail(&place, "priority", error);
    }
    slot->priority = (uint32_t)priority;
    RETURN_IF_FAILED(take_number(&place, object, "key_size", 1, &slot->key_len, error));
    if (slot->key_len > SECTOR_CIPHER_KEY_LEN_MAX) {
        slot->problem = "its key is longer than any cipher's of ours";
        return true;
    }
    if (!take_area(&place, json_member(json, object, "area"), header, areas_end, slot, &problem) ||
        !take_usable(&place, object, slot, &problem)) {
        if (problem.kind != ERROR_UNSUPPORTED) {
            *error = problem;
            return false;
        }
        text_copy(slot->problem_text, sizeof(slot->problem_text), problem.detail);
        slot->problem = slot->problem_text;
    }
    return true;
}

/* In the order of their ids, which are different ones; areas are clear of each other. */
static bool add_slot(struct luks2_metadata *metadata, const struct luks2_slot *slot, struct error *error)
{
    uint32_t at = metadata->slot_count;
    for (uint32_t i = 0; i < metadata->slot_count; i++) {
        const struct luks2_slot *other = &metadata->slots[i];
        if (other->id == slot->id) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: keyslot %u is there twice", slot->id);
        }
        if (other->area_off < slot->area_off + slot->area_len && slot->area_off < other->area_off + other->area_len) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: keyslots %u and %u are overlapping",
                             other->id, slot->id);
        }
    }
    /* LUKS2_SLOTS_MAX different numbers below that have room. */
    for (; at > 0 && metadata->slots[at - 1].id > slot->id; at--) {
        metadata->slots[at] = metadata->slots[at - 1];
    }
    metadata->slots[at] = *slot;
    metadata->slot_count++;
    return true;
}

static bool take_slots(const struct json *json, const struct luks2_header *header, uint64_t areas_end,
                       struct luks2_metadata *metadata, struct error *error)
{
    static struct luks2_slot slot;
    for (const struct json_value *object = json_first(json_member(json, json->root, "keyslots")); object != NULL;
         object = object->next) {
        slot = (struct luks2_slot){0};
        RETURN_IF_FAILED(take_slot(json, object, header, areas_end, &slot, error));
        RETURN_IF_FAILED(add_slot(metadata, &slot, error));
    }
    for (uint32_t i = 0; i < metadata->slot_count; i++) { /* they have moved */
        struct luks2_slot *moved = &metadata->slots[i];
        moved->problem = moved->problem_text[0] != '\0' ? moved->problem_text : moved->problem;
    }
    return true;
}

/* A list of numbers as texts: a bit for each. */
static bool take_ids(const struct place *place, const struct json_value *object, const char *key, uint32_t *ret_ids,
                     struct error *error)
{
    const struct json_value *list = json_member(place->json, object, key);
    uint32_t ids = 0;
    if (list == NULL || list->kind != JSON_LIST) {
        return fail(place, key, error);
    }
    for (const struct json_value *element = list->first; element != NULL; element = element->next) {
        uint64_t id;
        if (!json_number_text(place->json, element, &id)) {
            return fail(place, key, error);
        }
        ids |= id < 32 ? 1u << id : 0; /* what has no place in the tables above is not there */
    }
    *ret_ids = ids;
    return true;
}

static bool take_digests(const struct json *json, struct luks2_metadata *metadata, struct error *error)
{
    for (const struct json_value *object = json_first(json_member(json, json->root, "digests")); object != NULL;
         object = object->next) {
        struct place place = {.json = json, .kind = "digest"};
        struct luks2_digest *digest = &metadata->digests[metadata->digest_count];
        if (!json_key_number(json, object, &place.id) || metadata->digest_count == LUKS2_DIGESTS_MAX) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: a digest's number");
        }
        if (!json_is(json, json_member(json, object, "type"), "pbkdf2")) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS2 metadata: digest %llu is not by PBKDF2",
                             (unsigned long long)place.id);
        }
        RETURN_IF_FAILED(take_hash(&place, object, &digest->hash, error) &&
                         take_number(&place, object, "iterations", 1, &digest->iterations, error) &&
                         take_base64(&place, object, "salt", digest->salt.bytes, &digest->salt.len, error) &&
                         take_base64(&place, object, "digest", digest->bytes, &digest->len, error) &&
                         take_ids(&place, object, "keyslots", &digest->slots, error) &&
                         take_ids(&place, object, "segments", &digest->segments, error));
        metadata->digest_count++;
    }
    return true;
}

/* The key of a segment: by its digest, whose slots say how long it is. */
static bool find_key(const struct place *place, const struct luks2_metadata *metadata, struct luks2_segment *segment,
                     struct error *error)
{
    for (uint32_t i = 0; i < metadata->digest_count; i++) {
        const struct luks2_digest *digest = &metadata->digests[i];
        for (uint32_t k = 0; k < metadata->slot_count && (digest->segments >> segment->id & 1) != 0; k++) {
            const struct luks2_slot *slot = &metadata->slots[k];
            if ((digest->slots >> slot->id & 1) != 0 && slot->key_len <= SECTOR_CIPHER_KEY_LEN_MAX) {
                segment->digest = i;
                segment->key_len = slot->key_len;
                return true;
            }
        }
    }
    return fail(place, "no keyslot has its key", error);
}

static bool take_encryption(const struct place *place, const struct json_value *object,
                            const struct luks2_metadata *metadata, struct luks2_segment *segment, struct error *error)
{
    const struct json *json = place->json;
    if (json_member(json, object, "integrity") != NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS2 metadata: segments with integrity are not supported");
    }
    RETURN_IF_FAILED(take_off(place, object, "iv_tweak", &segment->first_number, error) &&
                     take_number(place, object, "sector_size", SECTOR_LEN, &segment->sector_len, error));
    if (!is_power_of_two(segment->sector_len) || segment->sector_len > DATA_CIPHER_UNIT_LEN_MAX) {
        return fail(place, "sector_size", error);
    }
    return find_key(place, metadata, segment, error) &&
           take_cipher(place, object, segment->key_len, &segment->cipher, error);
}

static bool has_flag(const struct json *json, const struct json_value *object, const char *flag)
{
    char text[NAME_LEN];
    for (const struct json_value *element = json_first(json_member(json, object, "flags")); element != NULL;
         element = element->next) {
        if (json_text(json, element, text, sizeof(text)) && strncmp(text, flag, strlen(flag)) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_segment(const struct json *json, const struct json_value *object,
                         const struct luks2_metadata *metadata, struct luks2_segment *segment, struct error *error)
{
    struct place place = {.json = json, .kind = "segment", .id = segment->id};
    char type[NAME_LEN];
    if (has_flag(json, object, "in-reencryption")) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "LUKS2 metadata: segment %u is being encrypted anew: finish that with cryptsetup repair",
                         segment->id);
    }
    if (!json_text(json, json_member(json, object, "type"), type, sizeof(type))) {
        return fail(&place, "type", error);
    }
    segment->is_encrypted = strcmp(type, "crypt") == 0;
    if (!segment->is_encrypted && strcmp(type, "linear") != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS2 metadata: segments of type '%s' are not supported",
                         type);
    }
    RETURN_IF_FAILED(take_off(&place, object, "offset", &segment->off, error));
    if (!json_is(json, json_member(json, object, "size"), "dynamic")) {
        RETURN_IF_FAILED(take_off(&place, object, "size", &segment->len, error));
        if (segment->len == 0) {
            return fail(&place, "size", error);
        }
    }
    RETURN_IF_FAILED(!segment->is_encrypted || take_encryption(&place, object, metadata, segment, error));
    uint64_t unit_len = segment->is_encrypted ? segment->sector_len : SECTOR_LEN;
    return (segment->off % SECTOR_LEN == 0 && segment->len % unit_len == 0) ||
           fail(&place, "it does not consist of sectors", error);
}

/* The segment with this number, but for those that are only kept for a repair. */
static const struct json_value *find_segment(const struct json *json, uint32_t id)
{
    for (const struct json_value *object = json_first(json_member(json, json->root, "segments")); object != NULL;
         object = object->next) {
        uint64_t number;
        if (json_key_number(json, object, &number) && number == id && !has_flag(json, object, "backup-")) {
            return object;
        }
    }
    return NULL;
}

/* Those of the disk have numbers from 0 on, in its order. */
static bool take_segments(const struct json *json, uint64_t data_off_min, struct luks2_metadata *metadata,
                          struct error *error)
{
    const struct json_value *object = find_segment(json, 0);
    for (; object != NULL; object = find_segment(json, metadata->segment_count)) { /* ends: by the bound below */
        if (metadata->segment_count == LUKS2_SEGMENTS_MAX) {
            return error_set(error, ERROR_LIMIT, NULL, "LUKS2 metadata: more than %u segments", LUKS2_SEGMENTS_MAX);
        }
        struct luks2_segment *segment = &metadata->segments[metadata->segment_count];
        struct place place = {.json = json, .kind = "segment", .id = metadata->segment_count};
        segment->id = metadata->segment_count;
        RETURN_IF_FAILED(take_segment(json, object, metadata, segment, error));
        if (segment->off < data_off_min) {
            return fail(&place, "it is overlapping with the header", error);
        }
        if (metadata->segment_count > 0 && metadata->segments[metadata->segment_count - 1].len == 0) {
            return fail(&place, "the one before it goes on to the end", error);
        }
        metadata->segment_count++;
    }
    return metadata->segment_count > 0 ||
           error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: there are no segments");
}

/* What a reader must know of to understand the rest: of a change under way its segments tell. */
static bool check_requirements(const struct json *json, const struct json_value *config, struct error *error)
{
    static const char known[] = "online-reencrypt";
    const struct json_value *requirements = json_member(json, config, "requirements");
    for (const struct json_value *element = json_first(json_member(json, requirements, "mandatory")); element != NULL;
         element = element->next) {
        char text[NAME_LEN];
        if (!json_text(json, element, text, sizeof(text))) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: requirements");
        }
        if (strncmp(text, known, strlen(known)) != 0) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS2 metadata: the volume requires '%s'", text);
        }
    }
    return true;
}

bool luks2_metadata_parse(const struct luks2_header *header, bool data_is_elsewhere, struct arena *arena,
                          struct luks2_metadata *ret_metadata, struct error *error)
{
    struct json json;
    uint64_t json_len, areas_len, areas_end;
    RETURN_IF_FAILED(json_parse(header->json, arena, &json, error));
    const struct json_value *config = json_member(&json, json.root, "config");
    struct place place = {.json = &json, .kind = "config"};
    RETURN_IF_FAILED(take_off(&place, config, "json_size", &json_len, error) &&
                     take_off(&place, config, "keyslots_size", &areas_len, error));
    if (json_len != header->len - AREA_ALIGNMENT) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: json_size is not that of the header");
    }
    if (areas_len % AREA_ALIGNMENT != 0 || !checked_add(2 * header->len, areas_len, &areas_end)) {
        return fail(&place, "keyslots_size", error);
    }
    *ret_metadata = (struct luks2_metadata){0};
    return check_requirements(&json, config, error) && take_slots(&json, header, areas_end, ret_metadata, error) &&
           take_digests(&json, ret_metadata, error) &&
           take_segments(&json, data_is_elsewhere ? 0 : areas_end, ret_metadata, error);
}
