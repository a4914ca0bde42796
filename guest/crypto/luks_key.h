/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a LUKS1 volume's data, from a passphrase: by the key slots, one after the other. */
#ifndef INSTAR_GUEST_CRYPTO_LUKS_KEY_H
#define INSTAR_GUEST_CRYPTO_LUKS_KEY_H

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/crypto/luks_header.h"
#include "guest/crypto/sector_cipher.h"
#include "guest/image/file.h"
#include "guest/runtime/arena.h"

/* Where the header is. */
struct luks_place {
    struct file *file;
    uint64_t off; /* bytes */
    uint64_t len; /* of the header with its key slots, at most; 0: as far as the file goes */
};

/*
 * What a key is made with may take minutes, not hours: images have some millions. A passphrase that none of the slots
 * takes is tried with all of them: their iterations, for each digest of a key, have a bound together.
 */
#define LUKS_ITERATIONS_MAX (1u << 27)
#define LUKS_WORK_MAX (1u << 29)

/* Writes luks->key_len bytes, SECTOR_CIPHER_KEY_LEN_MAX at most. A slot that no passphrase opens is no error by itself.
 */
MUST_CHECK bool luks_key_find(const struct luks_header *luks, const struct luks_place *place, struct span password,
                              struct arena *arena, uint8_t *ret_key, struct error *error);

/* Whether one slot, which is active, is opened by the passphrase: then the key is written likewise. */
MUST_CHECK bool luks_key_try(const struct luks_header *luks, const struct luks_place *place, uint32_t slot,
                             struct span password, struct arena *arena, uint8_t *ret_key, bool *ret_is_key,
                             struct error *error);

#endif
