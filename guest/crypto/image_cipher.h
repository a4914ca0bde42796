/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher of an encrypted image, by the secret that the user names for it: for the formats that may be encrypted. */
#ifndef INSTAR_GUEST_CRYPTO_IMAGE_CIPHER_H
#define INSTAR_GUEST_CRYPTO_IMAGE_CIPHER_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/crypto/luks_key.h"
#include "guest/image/image.h"

/*
 * Sets image->cipher, and fails in QEMU's words when that is not possible. `prefix` is what stands before "key-secret"
 * in the name of the option: "encrypt." or nothing. Waits; takes as long as the header says, within bounds.
 */
MUST_CHECK bool image_cipher_open_luks(struct image *image, const struct luks_header *luks,
                                       const struct luks_place *place, const char *prefix, struct error *error);

/* The same of images that QEMU calls encrypted by "aes": AES-128-CBC, with the passphrase as the key. */
MUST_CHECK bool image_cipher_open_aes(struct image *image, struct error *error);

/* That cipher for an image that is being made. `key` is checked as for one that is opened. */
MUST_CHECK bool image_cipher_make_aes(const struct image_key *key, struct arena *arena,
                                      const struct data_cipher **ret_cipher, struct error *error);

/* Before the header is looked at: whether there is a secret at all, and what the user says is what the header does. */
MUST_CHECK bool image_key_check(const struct image_key *key, const char *prefix, struct error *error);
MUST_CHECK bool image_key_check_format(const struct image *image, const char *format, struct error *error);

/* The secret of this id, whether there is one or not. */
struct image_key image_key_find(const struct image_environment *environment, const char *id);

#endif
