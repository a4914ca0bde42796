/* SPDX-License-Identifier: Apache-2.0 */
/* Zstandard (RFC 8878), by libzstd. */
#ifndef INSTAR_GUEST_CODECS_ZSTD_H
#define INSTAR_GUEST_CODECS_ZSTD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

/* Memory for a call, aligned like any object; what is in it before and after does not matter. */
#define ZSTD_SCRATCH_LEN (160u << 10)

/*
 * Expands the frames at the start of `stream`, as many as make target_len bytes; they make exactly those. What follows
 * them is left alone. False when they are damaged, or make another number of bytes; then the target's content is
 * undefined. On any vCPU.
 */
MUST_CHECK bool zstd_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch);

/* The same; *ret_stream_len is the frames' length. */
MUST_CHECK bool zstd_expand_counted(struct span stream, uint8_t *target, size_t target_len, size_t *ret_stream_len,
                                    void *scratch);

#define ZSTD_LEVEL_MIN (-7)
#define ZSTD_LEVEL_MAX 22
#define ZSTD_LEVEL_DEFAULT 3

/* Memory that a vCPU needs to compress bytes_len bytes; zeros before its first call, and always the same level. */
size_t zstd_compress_scratch_len(int level, size_t bytes_len);

/* Compresses `bytes`, one frame. Returns its length, or 0 when it would be longer than target_len. On any vCPU. */
size_t zstd_compress(int level, struct span bytes, uint8_t *target, size_t target_len, void *scratch);

#endif
