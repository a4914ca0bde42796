/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/bzip2.h"

#include <bzlib.h>

#include "base/checked.h"

/* At the start of the state; the rest is libbz2's memory. */
struct bzip2 {
    bz_stream bz;
    size_t used_len;
    uint8_t memory[] __attribute__((aligned(64)));
};

static void *give_memory(void *opaque, int count, int len)
{
    struct bzip2 *own = opaque;
    uint64_t wanted_len = round_up((uint64_t)(unsigned int)count * (unsigned int)len, 64);
    if (wanted_len > BZIP2_STATE_LEN - sizeof(*own) - own->used_len) {
        return NULL;
    }
    void *memory = own->memory + own->used_len;
    own->used_len += (size_t)wanted_len;
    return memory;
}

static void take_memory(void *opaque, void *memory)
{
    (void)opaque;
    (void)memory;
}

static bool begin(struct bzip2 *own)
{
    own->used_len = 0;
    own->bz = (bz_stream){.bzalloc = give_memory, .bzfree = take_memory, .opaque = own};
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
