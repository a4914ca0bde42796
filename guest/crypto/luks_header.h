/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of LUKS (LUKS1 On-Disk Format Specification 1.2.3), which an image of that format begins with, and which
 * encrypted images of others have somewhere: what info says of it. No keys, no I/O: bytes in, checked text and numbers
 * out.
 */
#ifndef INSTAR_GUEST_CRYPTO_LUKS_HEADER_H
#define INSTAR_GUEST_CRYPTO_LUKS_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/crypto/luks_cipher.h"

#define LUKS_HEADER_LEN 592u
#define LUKS_SECTOR_LEN 512u
#define LUKS_SLOT_COUNT 8u

#define LUKS_SALT_LEN 32u
#define LUKS_DIGEST_LEN 20u

struct luks_slot {
    bool is_active;
    uint32_t iterations;
    uint32_t stripes;
    uint64_t key_off; /* bytes from the start of the LUKS header */
    uint8_t salt[LUKS_SALT_LEN];
};

struct luks_header {
    struct luks_cipher cipher;
    const char *hash; /* as qemu-img calls it */
    char uuid[41];
    uint32_t key_len; /* bytes, of the key of the data */
    uint8_t key_digest[LUKS_DIGEST_LEN];
    uint8_t key_digest_salt[LUKS_SALT_LEN];
    uint32_t master_key_iterations;
    uint64_t payload_off; /* bytes */
    bool is_detached;     /* the payload is in another file */
    struct luks_slot slots[LUKS_SLOT_COUNT];
};

/* Whether a file that begins with `head` is an image of format luks. QEMU knows version 1 only. */
bool luks_header_probe(struct span head);

/* Fails as QEMU does, in its words. */
MUST_CHECK bool luks_header_parse(struct span bytes, bool is_detached, struct luks_header *ret_luks,
                                  struct error *error);

/* Writes LUKS_HEADER_LEN bytes; all of the header is as luks_header_parse would have it. */
void luks_header_emit(const struct luks_header *luks, uint8_t *ret_bytes);

/* The same of the key slots only: the rest of the bytes, which are a header, stays. */
void luks_header_emit_slots(const struct luks_header *luks, uint8_t *bytes);

/*
 * Sends the members that qemu-img prints of it, in its order (guest/image/detail.h); among them the encryption's
 * format, where that does not go without saying (NULL).
 */
void luks_header_describe(const struct luks_header *luks, const char *format);

#endif
