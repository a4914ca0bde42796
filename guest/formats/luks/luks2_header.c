/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/luks/luks2_header.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/crypto/hash.h"
#include "guest/formats/luks/luks.h"

#define VERSION 2u
#define BINARY_LEN 4096u
/* Of a copy: the specification has no others. */
#define HEADER_LEN_MIN 0x4000u
#define HEADER_LEN_MAX 0x400000u
#define CHECKSUM_LEN_MAX 64u

struct luks2_disk {
    uint8_t magic[6];
    struct be16 version;
    struct be64 hdr_size;
    struct be64 seqid;
    char label[48];
    char csum_alg[32];
    uint8_t salt[64];
    char uuid[40];
    char subsystem[48];
    struct be64 hdr_offset;
    uint8_t padding[184];
    uint8_t csum[CHECKSUM_LEN_MAX];
    uint8_t padding4096[7 * 512];
};

_Static_assert(sizeof(struct luks2_disk) == BINARY_LEN, "the binary header of the specification");

static const uint8_t magics[2][6] = {{'L', 'U', 'K', 'S', 0xba, 0xbe}, {'S', 'K', 'U', 'L', 0xba, 0xbe}};

static bool is_copy(struct span head, uint32_t copy)
{
    struct be16 version;
    return head.len >= sizeof(magics[copy]) && memcmp(head.data, magics[copy], sizeof(magics[copy])) == 0 &&
           span_copy(head, sizeof(magics[copy]), &version, sizeof(version)) && be16_get(version) == VERSION;
}

bool luks2_header_find(struct image *image, bool *ret_is_there, struct error *error)
{
    uint8_t bytes[8];
    const struct span head = {bytes, sizeof(bytes)};
    struct cache *cache = image->environment->cache;
    RETURN_IF_FAILED(cache_read(cache, luks_header_file(image), 0, bytes, sizeof(bytes), error));
    *ret_is_there = is_copy(head, 0);
    if (memcmp(bytes, magics[0], sizeof(magics[0])) == 0) {
        return true;
    }
    for (uint64_t off = HEADER_LEN_MIN; off <= HEADER_LEN_MAX && !*ret_is_there; off *= 2) {
        RETURN_IF_FAILED(cache_read(cache, luks_header_file(image), off, bytes, sizeof(bytes), error));
        *ret_is_there = is_copy(head, 1);
    }
    return true;
}

/* A copy, as it is read. */
struct copy {
    struct luks2_disk disk;
    uint8_t *json; /* HEADER_LEN_MAX bytes of room, less those of the binary header */
    uint64_t json_len;
};

static bool is_checksum_right(const struct copy *copy)
{
    struct luks2_disk disk = copy->disk;
    uint8_t digest[HASH_DIGEST_LEN_MAX];
    const struct hash *hash = disk.csum_alg[sizeof(disk.csum_alg) - 1] == '\0' ? hash_find(disk.csum_alg) : NULL;
    if (hash == NULL) {
        return false;
    }
    memset(disk.csum, 0, sizeof(disk.csum));
    hash_digest(hash, (struct span){(const uint8_t *)&disk, sizeof(disk)}, (struct span){copy->json, copy->json_len},
                digest);
    return memcmp(digest, copy->disk.csum, hash_digest_len(hash)) == 0;
}

/* The copy at `off`: *ret_problem says what is wrong with it, NULL: nothing. Fails when it cannot be read. */
static bool read_copy(struct image *image, uint64_t off, uint32_t number, struct copy *copy, const char **ret_problem,
                      struct error *error)
{
    struct cache *cache = image->environment->cache;
    struct luks2_disk *disk = &copy->disk;
    RETURN_IF_FAILED(cache_read(cache, luks_header_file(image), off, disk, sizeof(*disk), error));
    uint64_t len = be64_get(disk->hdr_size);
    if (!is_copy((struct span){disk->magic, sizeof(disk->magic) + sizeof(disk->version)}, number)) {
        *ret_problem = "no header of version 2";
    } else if (!is_power_of_two(len) || len < HEADER_LEN_MIN || len > HEADER_LEN_MAX || (off != 0 && off != len)) {
        *ret_problem = "hdr_size";
    } else if (be64_get(disk->hdr_offset) != off) {
        *ret_problem = "hdr_offset";
    } else {
        copy->json_len = len - BINARY_LEN;
        RETURN_IF_FAILED(
            cache_read(cache, luks_header_file(image), off + BINARY_LEN, copy->json, (size_t)copy->json_len, error));
        *ret_problem = is_checksum_right(copy) ? NULL : "checksum";
    }
    return true;
}

/* Where the second copy is: behind the first one, or, when that does not tell, at one of the places that it may have.
 */
static bool find_second(struct image *image, uint64_t first_len, struct copy *copy, uint64_t *ret_off,
                        const char **ret_problem, struct error *error)
{
    uint64_t off = first_len != 0 ? first_len : HEADER_LEN_MIN;
    uint64_t last_off = first_len != 0 ? first_len : HEADER_LEN_MAX;
    for (;; off *= 2) { /* ends: nine places */
        RETURN_IF_FAILED(read_copy(image, off, 1, copy, ret_problem, error));
        if (*ret_problem == NULL || off == last_off) {
            *ret_off = off;
            return true;
        }
    }
}

static bool take(const struct copy *copy, bool is_secondary, struct luks2_header *ret_header, struct error *error)
{
    const uint8_t *end = memchr(copy->json, '\0', copy->json_len);
    uint64_t text_len = end != NULL ? (uint64_t)(end - copy->json) : copy->json_len;
    if (end == NULL) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: the JSON text does not end within its area");
    }
    for (uint64_t off = text_len; off < copy->json_len; off++) {
        if (copy->json[off] != 0) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 metadata: something is behind the JSON text");
        }
    }
    *ret_header = (struct luks2_header){
        .len = be64_get(copy->disk.hdr_size),
        .sequence_id = be64_get(copy->disk.seqid),
        .is_secondary = is_secondary,
        .json = {copy->json, (size_t)text_len},
    };
    memcpy(ret_header->label, copy->disk.label, sizeof(copy->disk.label));
    memcpy(ret_header->uuid, copy->disk.uuid, sizeof(copy->disk.uuid));
    memcpy(ret_header->subsystem, copy->disk.subsystem, sizeof(copy->disk.subsystem));
    return true;
}

bool luks2_header_read(struct image *image, struct luks2_header *ret_header, struct error *error)
{
    struct arena *arena = image->environment->arena;
    struct copy *copy = arena_allocate(arena, sizeof(*copy), _Alignof(struct copy));
    const char *problems[2];
    uint64_t first_id = 0, second_off = 0;
    if (copy == NULL || (copy->json = arena_allocate(arena, HEADER_LEN_MAX - BINARY_LEN, 1)) == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the LUKS2 header");
    }
    RETURN_IF_FAILED(read_copy(image, 0, 0, copy, &problems[0], error));
    first_id = be64_get(copy->disk.seqid);
    uint64_t first_len = problems[0] == NULL ? be64_get(copy->disk.hdr_size) : 0;
    RETURN_IF_FAILED(find_second(image, first_len, copy, &second_off, &problems[1], error));
    if (problems[0] != NULL && problems[1] != NULL) {
        return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 header: both copies are damaged (%s; %s)", problems[0],
                         problems[1]);
    }
    bool is_secondary = problems[1] == NULL && (problems[0] != NULL || be64_get(copy->disk.seqid) > first_id);
    if (!is_secondary) {
        RETURN_IF_FAILED(read_copy(image, 0, 0, copy, &problems[0], error));
        if (problems[0] != NULL) {
            return error_set(error, ERROR_MALFORMED, NULL, "LUKS2 header: it changes while it is read");
        }
    }
    return take(copy, is_secondary, ret_header, error);
}
