/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/deflate_stream.h"

#include <string.h>
#include <zlib.h>

#include "base/checked.h"
#include "guest/codecs/codec_memory.h"

/* At the start of the state; the rest is zlib's memory. */
struct deflate_stream {
    z_stream zlib;
    struct codec_memory left;
    uint8_t memory[] __attribute__((aligned(CODEC_MEMORY_ALIGN)));
};

static void *give_memory(void *opaque, unsigned int count, unsigned int len)
{
    return codec_memory_take(opaque, count, len);
}

static bool begin(struct deflate_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->left = (struct codec_memory){stream->memory, DEFLATE_STREAM_LEN - sizeof(*stream)};
    stream->zlib = (z_stream){.zalloc = give_memory, .zfree = codec_memory_keep, .opaque = &stream->left};
    return inflateInit(&stream->zlib) == Z_OK;
}

bool deflate_stream_step(struct stream_step *step, void *state)
{
    struct deflate_stream *stream = state;
    z_stream *zlib = &stream->zlib;
    if (step->is_first && !begin(stream)) {
        return false;
    }
    zlib->next_in = (z_const Bytef *)(uintptr_t)step->input.data; /* it is only read */
    zlib->avail_in = (uInt)min_u64(step->input.len, UINT32_MAX);
    zlib->next_out = step->output;
    zlib->avail_out = (uInt)min_u64(step->output_len, UINT32_MAX);
    int result = inflate(zlib, Z_NO_FLUSH);
    size_t made_len = (size_t)(zlib->next_out - step->output);
    size_t taken_len = (size_t)(zlib->next_in - step->input.data);
    stream_step_take(step, taken_len);
    step->output += made_len;
    step->output_len -= made_len;
    step->is_finished = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
}
