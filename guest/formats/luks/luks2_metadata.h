/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of LUKS2 (LUKS2 On-Disk Format Specification 1.1.1, 3): key slots, digests and segments, from the JSON
 * text. No keys, no I/O.
 *
 * What a volume may have and we do not is no reason to refuse it as long as there is another way to its data: such a
 * slot is there, with a problem.
 */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS2_METADATA_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS2_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/crypto/luks_cipher.h"
#include "guest/formats/luks/luks2_header.h"
#include "guest/formats/luks/luks2_json.h"

#define LUKS2_SLOTS_MAX 32u /* of the specification */
#define LUKS2_DIGESTS_MAX 32u
#define LUKS2_SEGMENTS_MAX 32u
#define LUKS2_SALT_LEN_MAX 64u
#define LUKS2_STRIPES_MAX 4000u /* and no other number in any volume */

enum luks2_kdf {
    LUKS2_PBKDF2,
    LUKS2_ARGON2I,
    LUKS2_ARGON2ID,
};

struct luks2_salt {
    uint8_t bytes[LUKS2_SALT_LEN_MAX];
    uint32_t len;
};

struct luks2_slot {
    uint32_t id;
    uint32_t priority;   /* 0: only for who asks for this slot, 1: normal, 2: before others */
    uint32_t key_len;    /* bytes, of the key that is in it: 1 to SECTOR_CIPHER_KEY_LEN_MAX */
    const char *problem; /* NULL: none; otherwise only id, priority and key_len mean anything */
    char problem_text[96];

    enum luks2_kdf kdf;
    const char *kdf_hash; /* PBKDF2 */
    uint32_t iterations;  /* likewise; not 0 */
    uint32_t passes;      /* Argon2, as the following */
    uint32_t memory_kib;
    uint32_t lanes;
    struct luks2_salt salt;

    const char *split_hash;
    uint32_t stripe_count; /* 1 to LUKS2_STRIPES_MAX */
    uint64_t area_off;     /* bytes of the header's file; all stripes are within the area */
    uint64_t area_len;
    uint32_t area_key_len; /* bytes */
    struct luks_cipher area_cipher;
};

struct luks2_digest {
    const char *hash;
    uint32_t iterations;
    struct luks2_salt salt;
    uint8_t bytes[LUKS2_SALT_LEN_MAX];
    uint32_t len;      /* of them: not 0 */
    uint32_t slots;    /* a bit for each id */
    uint32_t segments; /* likewise */
};

struct luks2_segment {
    uint32_t id;
    bool is_encrypted;
    uint64_t off; /* bytes of the file with the data */
    uint64_t len; /* 0: as far as the file goes */
    /* Encrypted: */
    uint64_t first_number; /* of its first sector of 512 bytes */
    uint32_t sector_len;   /* bytes: 512, 1024, 2048, 4096 */
    uint32_t key_len;      /* bytes */
    uint32_t digest;       /* index of the one that its key has */
    struct luks_cipher cipher;
};

struct luks2_metadata {
    struct luks2_slot slots[LUKS2_SLOTS_MAX];
    uint32_t slot_count; /* in the order of their ids */
    struct luks2_digest digests[LUKS2_DIGESTS_MAX];
    uint32_t digest_count;
    struct luks2_segment segments[LUKS2_SEGMENTS_MAX];
    uint32_t segment_count; /* what the disk consists of, in its order; 1 at least */
};

/* `data_is_elsewhere`: the header has a file of its own. Memory to parse with is the arena's. */
MUST_CHECK bool luks2_metadata_parse(const struct luks2_header *header, bool data_is_elsewhere, struct arena *arena,
                                     struct luks2_metadata *ret_metadata, struct error *error);

#endif
