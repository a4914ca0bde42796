/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a new LUKS1 volume, as QEMU makes it: a random key for the data, which the first key slot has for a
 * passphrase. Options of formats (-o) say how.
 */
#ifndef INSTAR_GUEST_CRYPTO_LUKS_NEW_H
#define INSTAR_GUEST_CRYPTO_LUKS_NEW_H

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/crypto/luks_header.h"
#include "guest/crypto/random_stream.h"
#include "guest/crypto/sector_cipher.h"
#include "guest/image/image.h"

/* What the user wants. */
struct luks_options {
    const char *key_secret; /* NULL: not given */
    struct luks_cipher cipher;
    const char *hash;
    uint32_t iter_time_ms; /* that a passphrase takes to be tried */
    bool is_detached;      /* the data is in another file */
};

/*
 * `prefix` is what stands before the names: "encrypt." or nothing; options without it, and the image's own
 * (encrypt.format), are left alone. Errors are QEMU's.
 */
MUST_CHECK bool luks_options_parse(const instar_FormatOption *options, uint32_t count, const char *prefix,
                                   struct luks_options *ret_options, struct error *error);

/* Where the data begins with the longest key, bytes. */
#define LUKS_PAYLOAD_OFF_MAX (4096u + 8u * 258048u)

/* Bytes that the header has with all its key slots: where the data begins. Fails for what does not go together. */
MUST_CHECK bool luks_new_payload_off(const struct luks_options *options, uint64_t *ret_off, struct error *error);

/* The secret of the options, checked, as QEMU asks for it. */
MUST_CHECK bool luks_new_key(const struct luks_options *options, const struct image_environment *environment,
                             const char *prefix, struct image_key *ret_key, struct error *error);

/* Iterations that a passphrase's time takes, by measuring, for keys of this length. */
MUST_CHECK bool luks_new_iterations(const struct luks_options *options, uint32_t key_len,
                                    const struct image_environment *environment, uint32_t *ret_iterations,
                                    struct error *error);

/*
 * What a slot with this salt and these iterations stores of the key: the stripes' bytes. Memory that it needs besides
 * is the arena's.
 */
MUST_CHECK bool luks_new_fill_slot(const struct luks_options *options, const struct luks_slot *slot,
                                   struct span password, struct span key, struct random_stream *random,
                                   const struct image_environment *environment, uint8_t *stripes, struct error *error);

struct luks_new {
    uint64_t payload_off; /* bytes */
    struct span head;     /* the header and the first key slot, from the start on; zeros follow up to the data */
    struct sector_cipher *cipher;
};

/*
 * Memory is the arena's. `random` has 64 bytes that nobody knows, nor sees: what is made of them is. Takes as long as
 * the options say, and a little more to measure that.
 */
MUST_CHECK bool luks_new_make(const struct luks_options *options, struct span password, struct span random,
                              const struct image_environment *environment, struct luks_new *ret_new,
                              struct error *error);

#endif
