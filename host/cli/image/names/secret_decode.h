/* SPDX-License-Identifier: Apache-2.0 */
/* What a secret is made of: base64, and what another secret has encrypted, as QEMU has them. */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_SECRET_DECODE_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_SECRET_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

/* In place, as GLib does it: what is left over at the end is dropped. *ret_len is not more than `len`. */
bool secret_decode_base64(uint8_t *text, size_t len, size_t *ret_len, struct error *error);

struct secret_key {
    struct span key;
    const char *iv; /* base64; NULL: not given */
    bool is_base64; /* so is what is decrypted */
};

/* In place: AES-256-CBC with PKCS#7 padding, which is taken off. */
bool secret_decrypt(const struct secret_key *key, uint8_t *bytes, size_t len, size_t *ret_len, struct error *error);

#endif
