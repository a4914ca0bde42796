/* SPDX-License-Identifier: Apache-2.0 */
/* Deflate (RFC 1951, raw: without the heads of zlib or gzip), by libdeflate; what is made for a small window is our
 * own. */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_H
#define INSTAR_GUEST_CODECS_DEFLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

/* Memory for a call, aligned like any object; what is in it before and after does not matter. */
#define DEFLATE_SCRATCH_LEN 16384u

/*
 * Expands the stream at the start of `stream`, which makes exactly target_len bytes; what follows it is left alone.
 * False when it is damaged or makes another number of bytes; then the target's content is undefined. On any vCPU.
 */
MUST_CHECK bool deflate_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch);

/* The same; *ret_stream_len is the stream's length, what follows it left alone. */
MUST_CHECK bool deflate_expand_counted(struct span stream, uint8_t *target, size_t target_len, size_t *ret_stream_len,
                                       void *scratch);

/* The same for a stream with zlib's head and checksum (RFC 1950), which is looked at. */
MUST_CHECK bool deflate_expand_zlib(struct span stream, uint8_t *target, size_t target_len, void *scratch);

/* The same for a stream that makes target_len bytes at most: *ret_len says how many. */
MUST_CHECK bool deflate_expand_zlib_some(struct span stream, uint8_t *target, size_t target_len, size_t *ret_len,
                                         void *scratch);

#define DEFLATE_LEVEL_MIN 0 /* nothing gets shorter */
#define DEFLATE_LEVEL_MAX 12
/* As small as zlib's usual level 6 with a small window, within 2 %. */
#define DEFLATE_LEVEL_DEFAULT 4
#define DEFLATE_LARGE_WINDOW_LEVEL_DEFAULT 1

struct deflate_choice {
    int level;         /* DEFLATE_LEVEL_MIN to _MAX */
    bool large_window; /* of 32 KiB; else 4 KiB: for readers that expand step by step with no more memory than that */
};

/* Memory that a vCPU needs to compress bytes_len bytes; zeros before its first call, and always the same choice. */
size_t deflate_compress_scratch_len(const struct deflate_choice *choice, size_t bytes_len);

/*
 * Compresses `bytes`: the stream's length, or 0 when it would be longer than target_len. False: it was made wrong,
 * which is a fault of ours, or of the machine. On any vCPU.
 */
MUST_CHECK bool deflate_compress(const struct deflate_choice *choice, struct span bytes, uint8_t *target,
                                 size_t target_len, void *scratch, size_t *ret_len);

/* The same with zlib's head and checksum around the stream (RFC 1950). */
MUST_CHECK bool deflate_compress_zlib(const struct deflate_choice *choice, struct span bytes, uint8_t *target,
                                      size_t target_len, void *scratch, size_t *ret_len);

/* What zlib has around a stream: before it, and the checksum of `bytes` behind it. */
#define DEFLATE_ZLIB_HEAD_LEN 2u
#define DEFLATE_ZLIB_TAIL_LEN 4u
void deflate_zlib_head(uint8_t ret_head[DEFLATE_ZLIB_HEAD_LEN]);
void deflate_zlib_tail(struct span bytes, uint8_t ret_tail[DEFLATE_ZLIB_TAIL_LEN]);

#endif
