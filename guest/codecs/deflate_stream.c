/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/deflate_stream.h"

#include <string.h>
#include <zlib.h>

#include "base/checked.h"

/* At the start of the state; the rest is zlib's memory. */
struct deflate_stream {
    z_stream zlib;
    size_t used_len;
    uint8_t memory[] __attribute__((aligned(64)));
};

static void *give_memory(void *opaque, unsigned int count, unsigned int len)
{
    struct deflate_stream *stream = opaque;
    uint64_t wanted_len = round_up((uint64_t)count * len, 64);
    if (wanted_len > DEFLATE_STREAM_LEN - sizeof(*stream) - stream->used_len) {
        return NULL;
    }
    void *memory = stream->memory + stream->used_len;
    stream->used_len += (size_t)wanted_len;
    return memory;
}

static void take_memory(void *opaque, void *memory)
{
    (void)opaque;
    (void)memory;
}

static bool begin(struct deflate_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->zlib = (z_stream){.zalloc = give_memory, .zfree = take_memory, .opaque = stream};
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
    step->input = (struct span){step->input.data + taken_len, step->input.len - taken_len};
    step->output += made_len;
    step->output_len -= made_len;
    step->is_finished = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
}
