/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg_codec.h"

#include "base/checked.h"
#include "guest/codecs/adc.h"
#include "guest/codecs/bzip2.h"
#include "guest/codecs/deflate.h"
#include "guest/codecs/deflate_stream.h"
#include "guest/codecs/lzfse.h"
#include "guest/codecs/xz.h"
#include "guest/formats/dmg/dmg_chunks.h"

uint32_t dmg_codec_state_len(uint32_t type, uint32_t unit_len)
{
    switch (type) {
    case DMG_CHUNK_ADC:
        return ADC_STATE_LEN;
    case DMG_CHUNK_ZLIB:
        return DEFLATE_STREAM_LEN > DEFLATE_SCRATCH_LEN ? DEFLATE_STREAM_LEN : DEFLATE_SCRATCH_LEN;
    case DMG_CHUNK_BZIP2:
        return BZIP2_STATE_LEN;
    case DMG_CHUNK_LZFSE:
        return LZFSE_STATE_LEN;
    case DMG_CHUNK_LZMA:
        return (uint32_t)xz_state_len(unit_len);
    default:
        return 0;
    }
}

bool dmg_codec_step(uint32_t type, uint32_t unit_len, struct stream_step *step, void *state, struct error *error)
{
    switch (type) {
    case DMG_CHUNK_ADC:
        return adc_step(step, state);
    case DMG_CHUNK_ZLIB:
        return deflate_stream_step(step, state);
    case DMG_CHUNK_BZIP2:
        return bzip2_step(step, state);
    case DMG_CHUNK_LZFSE:
        return lzfse_step(step, state);
    case DMG_CHUNK_LZMA:
        return xz_step(step, unit_len, state, error);
    default:
        return error_set(error, ERROR_GUEST, NULL, "a chunk of type 0x%x is not compressed", type);
    }
}

bool dmg_codec_expand(uint32_t type, struct span stream, uint8_t *target, uint32_t unit_len, void *state,
                      struct error *error)
{
    if (type == DMG_CHUNK_ZLIB) {
        return deflate_expand_zlib(stream, target, unit_len, state);
    }
    struct stream_step step = {
        .input = stream,
        .input_is_last = true,
        .output = target,
        .output_len = unit_len,
        .is_first = true,
    };
    for (;;) { /* ends: each round takes input or makes output */
        size_t left_len = step.input.len + step.output_len;
        bool was_first = step.is_first;
        if (!dmg_codec_step(type, unit_len, &step, state, error)) {
            return false;
        }
        step.is_first = false;
        if (step.is_finished || (!was_first && step.input.len + step.output_len == left_len)) {
            return step.is_finished && step.output_len == 0;
        }
    }
}
