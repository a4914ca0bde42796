/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/bzip2.h"

#include <bzlib.h>

#include "base/checked.h"
#include "guest/codecs/codec_memory.h"

/* At the start of the state; the rest is libbz2's memory. */
struct bzip2 {
    bz_stream bz;
    struct codec_memory left;
    uint8_t memory[] __attribute__((aligned(CODEC_MEMORY_ALIGN)));
};

static void *give_memory(void *opaque, int count, int len)
{
    return codec_memory_take(opaque, (unsigned int)count, (unsigned int)len);
}

static bool begin(struct bzip2 *own)
{
    own->left = (struct codec_memory){own->memory, BZIP2_STATE_LEN - sizeof(*own)};
    own->bz = (bz_stream){.bzalloc = give_memory, .bzfree = codec_memory_keep, .opaque = &own->left};
    return BZ2_bzDecompressInit(&own->bz, 0, 0) == BZ_OK;
}

bool bzip2_step(struct stream_step *step, void *state)
{
    struct bzip2 *own = state;
    bz_stream *bz = &own->bz;
    if (step->is_first && !begin(own)) {
        return false;
    }
    size_t input_len = (size_t)min_u64(step->input.len, UINT32_MAX);
    size_t output_len = (size_t)min_u64(step->output_len, UINT32_MAX);
    bz->next_in = (char *)(uintptr_t)step->input.data; /* it is only read */
    bz->avail_in = (unsigned int)input_len;
    bz->next_out = (char *)step->output;
    bz->avail_out = (unsigned int)output_len;
    int result = BZ2_bzDecompress(bz);
    stream_step_take(step, input_len - bz->avail_in);
    step->output += output_len - bz->avail_out;
    step->output_len -= output_len - bz->avail_out;
    step->is_finished = result == BZ_STREAM_END;
    return result == BZ_OK || result == BZ_STREAM_END;
}
