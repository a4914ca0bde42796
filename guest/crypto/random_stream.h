/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes, as many as are wanted, of 64 that the host has given: SHA-512 of these and a count, so that who sees
 * some of them knows neither the others nor what they are made of.
 */
#ifndef INSTAR_GUEST_CRYPTO_RANDOM_STREAM_H
#define INSTAR_GUEST_CRYPTO_RANDOM_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "guest/crypto/hash.h"

struct random_stream {
    uint8_t seed[HASH_DIGEST_LEN_MAX];
    uint64_t count;
};

/* `seed` has HASH_DIGEST_LEN_MAX bytes. The stream is wiped by its owner. */
void random_stream_init(struct random_stream *stream, struct span seed);

void random_stream_take(struct random_stream *stream, uint8_t *target, size_t len);

#endif
