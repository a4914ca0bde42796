/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks2.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/crypto/wipe.h"
#include "guest/formats/luks/luks2_header.h"
#include "guest/formats/luks/luks2_key.h"
#include "guest/formats/luks/luks2_metadata.h"
#include "guest/image/detail.h"
#include "guest/image/image.h"

/* A segment of the disk. */
struct part {
    uint64_t voff;
    uint64_t len;
    struct sector_cipher *cipher; /* NULL: it is not encrypted */
};

/* The disk's cipher: each segment's own, which counts from where that begins. */
struct luks2 {
    struct data_cipher data; /* first */
    struct file *data_file;
    struct luks2_header header;
    struct luks2_metadata metadata;
    struct part parts[LUKS2_SEGMENTS_MAX]; /* as the segments of the metadata */
};

/* The segment that has this place of the disk, which lies within it. */
static uint32_t part_at(const struct luks2 *luks2, uint64_t voff)
{
    uint32_t i = 0;
    while (i + 1 < luks2->metadata.segment_count && voff - luks2->parts[i].voff >= luks2->parts[i].len) {
        i++;
    }
    return i;
}

static void decrypt_units(const struct data_cipher *data, uint64_t off, const uint8_t *source, uint8_t *target,
                          size_t len)
{
    const struct luks2 *luks2 = (const struct luks2 *)data;
    for (size_t done = 0; done < len;) { /* ends: a part has a unit at least */
        const struct part *part = &luks2->parts[part_at(luks2, off + done)];
        uint64_t in_part = off + done - part->voff;
        size_t step = (size_t)min_u64(len - done, max_u64(part->len - min_u64(in_part, part->len), SECTOR_LEN));
        if (part->cipher == NULL) {
            memmove(target + done, source + done, step); /* nobody asks for it */
        } else {
            const struct data_cipher *cipher = &part->cipher->data;
            cipher->decrypt(cipher, in_part, source + done, target + done, step);
        }
        done += step;
    }
}

static uint32_t unit_len_of(const struct luks2_segment *segment)
{
    return segment->is_encrypted ? segment->sector_len : SECTOR_LEN;
}

/* How long the last segment is, which goes as far as the file does: of sectors of 512 bytes, the last may be cut. */
static bool find_len(const struct luks2_segment *segment, uint64_t file_len, uint64_t *ret_len, struct error *error)
{
    uint64_t rounded_len;
    uint32_t unit_len = unit_len_of(segment);
    if (!checked_round_up(file_len, SECTOR_LEN, &rounded_len) || segment->off > rounded_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 segment %u begins behind the end of the file",
                         segment->id);
    }
    if (segment->len != 0) {
        *ret_len = segment->len;
        return range_is_within(segment->off, segment->len, rounded_len) ||
               error_set(error, ERROR_MALFORMED, NULL, "LUKS2 segment %u ends behind the end of the file", segment->id);
    }
    *ret_len = rounded_len - segment->off;
    return *ret_len % unit_len == 0 ||
           error_set(error, ERROR_MALFORMED, NULL, "LUKS2 segment %u ends within a sector, which has %u bytes",
                     segment->id, unit_len);
}

/* Where segments are on the disk, and what they are read by: what is read together lies in one of them. */
static bool place_parts(struct image *image, struct luks2 *luks2, struct error *error)
{
    uint64_t voff = 0;
    const struct luks2_metadata *metadata = &luks2->metadata;
    luks2->data.unit_len = SECTOR_LEN;
    for (uint32_t i = 0; i < metadata->segment_count; i++) {
        const struct luks2_segment *segment = &metadata->segments[i];
        struct part *part = &luks2->parts[i];
        part->voff = voff;
        RETURN_IF_FAILED(find_len(segment, luks2->data_file->len, &part->len, error));
        if (!checked_add(voff, part->len, &voff) || voff > FILE_END_MAX) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 segments: the disk is too long");
        }
        luks2->data.unit_len = (uint32_t)max_u64(luks2->data.unit_len, unit_len_of(segment));
    }
    for (uint32_t i = 1; i < metadata->segment_count; i++) {
        if (luks2->parts[i].voff % luks2->data.unit_len != 0) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "LUKS2 segment %u begins within a sector of another one",
                             i);
        }
    }
    image->virtual_len = voff;
    return true;
}

static bool make_cipher(struct image *image, const struct luks2_segment *segment, const struct luks2_keys *keys,
                        struct part *part, struct error *error)
{
    const uint8_t *key = keys->list[segment->digest].bytes;
    struct sector_cipher_setup setup = luks_cipher_setup(&segment->cipher, key, segment->key_len);
    if (keys->list[segment->digest].len != segment->key_len) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 segment %u has a key of another length", segment->id);
    }
    setup.unit_len = segment->sector_len;
    setup.first_number = segment->first_number;
    part->cipher = arena_allocate(image->environment->arena, sizeof(*part->cipher), _Alignof(struct sector_cipher));
    if (part->cipher == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    return sector_cipher_init(part->cipher, &setup, error);
}

static bool unlock(struct image *image, struct luks2 *luks2, struct error *error)
{
    struct luks2_keys keys;
    const struct luks2_metadata *metadata = &luks2->metadata;
    bool success = luks2_keys_find(image, metadata, image->key.secret, &keys, error);
    for (uint32_t i = 0; i < metadata->segment_count && success; i++) {
        const struct luks2_segment *segment = &metadata->segments[i];
        success = !segment->is_encrypted || make_cipher(image, segment, &keys, &luks2->parts[i], error);
    }
    wipe(&keys, sizeof(keys));
    luks2->data.decrypt = decrypt_units;
    luks2->data.encrypt = NULL; /* it is only read */
    image->cipher = &luks2->data;
    return success;
}

bool luks2_find(struct image *image, bool *ret_is_there, struct error *error)
{
    return luks2_header_find(image, ret_is_there, error);
}

bool luks2_open(struct image *image, struct luks2 **ret_luks2, struct error *error)
{
    struct arena *arena = image->environment->arena;
    struct luks2 *luks2 = arena_allocate(arena, sizeof(*luks2), _Alignof(struct luks2));
    if (luks2 == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    luks2->data_file = image->file;
    RETURN_IF_FAILED(luks2_header_read(image, &luks2->header, error));
    RETURN_IF_FAILED(luks2_metadata_parse(&luks2->header, image->header_file != NULL, arena, &luks2->metadata, error));
    RETURN_IF_FAILED(place_parts(image, luks2, error));
    RETURN_IF_FAILED(image->purpose == IMAGE_TO_DESCRIBE || unlock(image, luks2, error));
    *ret_luks2 = luks2;
    return true;
}

void luks2_map(const struct luks2 *luks2, uint64_t voff, uint64_t len, struct extent *ret_extent)
{
    uint32_t index = part_at(luks2, voff);
    const struct part *part = &luks2->parts[index];
    const struct luks2_segment *segment = &luks2->metadata.segments[index];
    *ret_extent = (struct extent){
        .voff = voff,
        .len = min_u64(len, part->len - (voff - part->voff)),
        .kind = segment->is_encrypted ? EXTENT_ENCRYPTED : EXTENT_DATA,
        .has_file_off = true,
        .file_off = segment->off + (voff - part->voff),
        .cipher_off = voff,
        .file = luks2->data_file,
    };
}

static void describe_cipher(const struct luks_cipher *cipher)
{
    detail_word("cipher-alg", cipher->cipher);
    detail_word("cipher-mode", cipher->mode);
    detail_word("ivgen-alg", cipher->ivgen);
    if (cipher->ivgen_hash != NULL) {
        detail_word("ivgen-hash-alg", cipher->ivgen_hash);
    }
}

static void describe_slot(const struct luks2_slot *slot)
{
    static const char *const kdfs[] = {"pbkdf2", "argon2i", "argon2id"};
    detail_object(NULL);
    detail_number("id", slot->id);
    if (slot->problem == NULL) {
        detail_word("kdf", kdfs[slot->kdf]);
        if (slot->kdf == LUKS2_PBKDF2) {
            detail_word("hash-alg", slot->kdf_hash);
            detail_number("iters", slot->iterations);
        } else {
            detail_number("time", slot->passes);
            detail_number("memory", (int64_t)slot->memory_kib << 10);
            detail_number("cpus", slot->lanes);
        }
        detail_number("key-offset", (int64_t)slot->area_off);
        detail_number("stripes", slot->stripe_count);
    }
    detail_end();
}

static void describe_segment(const struct luks2_segment *segment, const struct part *part)
{
    detail_object(NULL);
    detail_number("payload-offset", (int64_t)segment->off);
    detail_number("length", (int64_t)part->len);
    if (segment->is_encrypted) {
        detail_number("sector-size", segment->sector_len);
        describe_cipher(&segment->cipher);
    }
    detail_end();
}

void luks2_describe(const struct luks2 *luks2)
{
    const struct luks2_metadata *metadata = &luks2->metadata;
    detail_number("version", 2);
    detail_text("uuid", (struct span){(const uint8_t *)luks2->header.uuid, strlen(luks2->header.uuid)});
    if (luks2->header.label[0] != '\0') {
        detail_text("label", (struct span){(const uint8_t *)luks2->header.label, strlen(luks2->header.label)});
    }
    detail_list("slots");
    for (uint32_t i = 0; i < metadata->slot_count; i++) {
        describe_slot(&metadata->slots[i]);
    }
    detail_end();
    detail_list("segments");
    for (uint32_t i = 0; i < metadata->segment_count; i++) {
        describe_segment(&metadata->segments[i], &luks2->parts[i]);
    }
    detail_end();
}
