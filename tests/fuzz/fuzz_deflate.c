/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the encoder makes of any bytes at any level, zlib expands again with a window of 4 KiB, in small pieces. An
 * input tells how the bytes come about, so that a short one makes a whole cluster: as they are, copies, runs, noise.
 */
#include <string.h>
#include <zlib.h>

#include "fuzz.h"
#include "guest/codecs/deflate_encode.h"

#define CONTENT_LEN_MAX (256u << 10)
#define PIECE_LEN_MAX 4096u

enum content_part { PART_BYTES, PART_COPY, PART_RUN, PART_NOISE, PART_COUNT };

static size_t part_make(struct fuzz_input *input, uint8_t *content, size_t len)
{
    enum content_part part = fuzz_take(input, 1) % PART_COUNT;
    size_t part_len = fuzz_take(input, 2);
    uint64_t value = part == PART_BYTES ? 0 : fuzz_take(input, 2);
    part_len = part_len < CONTENT_LEN_MAX - len ? part_len : CONTENT_LEN_MAX - len;
    struct span bytes = fuzz_take_span(input, part == PART_BYTES ? part_len : 0);
    size_t distance = value + 1;
    uint32_t noise = (uint32_t)value;
    for (size_t i = 0; i < part_len; i++) {
        noise = noise * 1664525 + 1013904223;
        switch (part) {
        case PART_BYTES:
            content[len + i] = i < bytes.len ? bytes.data[i] : 0;
            break;
        case PART_COPY:
            content[len + i] = distance <= len + i ? content[len + i - distance] : 0;
            break;
        case PART_RUN:
            content[len + i] = (uint8_t)value;
            break;
        case PART_NOISE:
        case PART_COUNT:
        default:
            content[len + i] = (uint8_t)(noise >> 24);
            break;
        }
    }
    return len + part_len;
}

/* The stream is memory of its own length, and so is each piece: a sanitizer sees what is read or written behind it. */
static void stream_check(struct span stream, struct span content, size_t in_len, size_t out_len)
{
    z_stream reader = {0};
    uint8_t *piece = malloc(out_len);
    size_t given_len = 0;
    size_t done_len = 0;
    int status = inflateInit2(&reader, -12);
    FUZZ_ASSERT(piece != NULL && status == Z_OK);
    while (status == Z_OK) { /* ends: zlib says Z_BUF_ERROR when nothing moves */
        if (reader.avail_in == 0) {
            size_t left_len = stream.len - given_len;
            reader.next_in = (uint8_t *)(uintptr_t)stream.data + given_len;
            reader.avail_in = (uInt)(in_len < left_len ? in_len : left_len);
            given_len += reader.avail_in;
        }
        reader.next_out = piece;
        reader.avail_out = (uInt)out_len;
        status = inflate(&reader, Z_NO_FLUSH);
        size_t made_len = out_len - reader.avail_out;
        FUZZ_ASSERT(made_len <= content.len - done_len);
        FUZZ_ASSERT(made_len == 0 || memcmp(piece, content.data + done_len, made_len) == 0);
        done_len += made_len;
    }
    FUZZ_ASSERT(status == Z_STREAM_END && done_len == content.len && given_len - reader.avail_in == stream.len);
    inflateEnd(&reader);
    free(piece);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    int level = DEFLATE_ENCODE_LEVEL_MIN + (int)(fuzz_take(&input, 1) % DEFLATE_ENCODE_LEVEL_MAX);
    size_t in_len = 1 + fuzz_take(&input, 2) % PIECE_LEN_MAX;
    size_t out_len = 1 + fuzz_take(&input, 2) % PIECE_LEN_MAX;
    uint64_t less = fuzz_take(&input, 1);
    uint8_t *made = fuzz_memory(0, CONTENT_LEN_MAX);
    uint8_t *scratch = fuzz_memory(1, deflate_encode_scratch_len());
    size_t content_len = 0;
    while (input.len > 0 && content_len < CONTENT_LEN_MAX) { /* ends: each round takes a byte at least */
        content_len = part_make(&input, made, content_len);
    }
    uint8_t *content = malloc(content_len + 1);
    size_t target_len = content_len + content_len / 1000 + 64; /* stored, it fits */
    uint8_t *target = malloc(target_len);
    FUZZ_ASSERT(content != NULL && target != NULL);
    memcpy(content, made, content_len);
    content = realloc(content, content_len > 0 ? content_len : 1);
    struct span bytes = {content, content_len};
    size_t stream_len = deflate_encode(level, bytes, target, target_len, scratch);
    FUZZ_ASSERT(stream_len > 0 && stream_len <= target_len);
    target = realloc(target, stream_len);
    stream_check((struct span){target, stream_len}, bytes, in_len, out_len);
    /* Into less room: nothing. */
    size_t short_len = stream_len - 1 - less % stream_len;
    uint8_t *short_target = malloc(short_len > 0 ? short_len : 1);
    FUZZ_ASSERT(short_target != NULL);
    FUZZ_ASSERT(deflate_encode(level, bytes, short_target, short_len, scratch) == 0);
    free(short_target);
    free(target);
    free(content);
}
