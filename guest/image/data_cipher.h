/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the data of an encrypted image is made readable: what the image layer and operations know of it. The format makes
 * one when it has found the key (guest/crypto), and says with each extent where its units are counted from.
 */
#ifndef INSTAR_GUEST_IMAGE_DATA_CIPHER_H
#define INSTAR_GUEST_IMAGE_DATA_CIPHER_H

#include <stddef.h>
#include <stdint.h>

/* The longest unit of any format (LUKS2). */
#define DATA_CIPHER_UNIT_LEN_MAX 4096u

struct data_cipher {
    uint32_t unit_len; /* bytes that are encrypted together: 512 to DATA_CIPHER_UNIT_LEN_MAX, a power of two */
    /*
     * Whole units, `off` is the first one's place: bytes, as struct extent has them in cipher_off. `target` may be
     * `source`, but does not overlap it otherwise. Changes nothing else, so every vCPU may call it at once.
     */
    void (*decrypt)(const struct data_cipher *cipher, uint64_t off, const uint8_t *source, uint8_t *target, size_t len);
    /* NULL: what is encrypted so is not written. */
    void (*encrypt)(const struct data_cipher *cipher, uint64_t off, const uint8_t *source, uint8_t *target, size_t len);
};

#endif
