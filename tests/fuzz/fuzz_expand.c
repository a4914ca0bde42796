/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codecs that expand in steps, on any stream: whatever goes in and comes out in a step, the result is the same. The
 * state, input and output of a step are memory of their own lengths.
 */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "fuzz.h"
#include "guest/formats/dmg/dmg_chunks.h"
#include "guest/formats/dmg/dmg_codec.h"

#define UNIT_LEN_MAX (512u << 10)

static const uint32_t types[] = {DMG_CHUNK_ADC, DMG_CHUNK_ZLIB, DMG_CHUNK_BZIP2, DMG_CHUNK_LZFSE, DMG_CHUNK_LZMA};

struct expansion {
    uint32_t type;
    uint32_t unit_len;
    size_t in_len; /* of a step */
    size_t out_len;
};

/* One step, with copies of its input and output. False when it fails. */
static bool step_run(const struct expansion *expansion, struct stream_step *step, void *state)
{
    struct error error = {0};
    uint8_t *input = malloc(max_u64(step->input.len, 1));
    uint8_t *output = malloc(max_u64(step->output_len, 1));
    uint8_t *target = step->output;
    size_t input_len = step->input.len;
    size_t room = step->output_len;
    FUZZ_ASSERT(input != NULL && output != NULL);
    memcpy(input, step->input.data, input_len);
    step->input.data = input;
    step->output = output;
    bool is_done = dmg_codec_step(expansion->type, expansion->unit_len, step, state, &error);
    FUZZ_ASSERT(step->input.len <= input_len && step->output_len <= room);
    FUZZ_ASSERT(step->input.data == input + (input_len - step->input.len));
    FUZZ_ASSERT(step->output == output + (room - step->output_len));
    memcpy(target, output, room - step->output_len);
    free(output);
    free(input);
    return is_done;
}

/* Whether the stream makes the whole unit and ends. */
static bool expand(const struct expansion *expansion, struct span stream, uint8_t *target)
{
    size_t taken_len = 0;
    size_t made_len = 0;
    bool is_finished = false;
    bool has_moved = true;
    void *state = malloc(dmg_codec_state_len(expansion->type, expansion->unit_len));
    FUZZ_ASSERT(state != NULL);
    for (bool is_first = true; has_moved && !is_finished; is_first = false) { /* ends: each round takes or makes some */
        size_t in_len = min_u64(stream.len - taken_len, expansion->in_len);
        size_t out_len = min_u64(expansion->unit_len - made_len, expansion->out_len);
        struct stream_step step = {
            .input = {stream.data + taken_len, in_len},
            .input_is_last = taken_len + in_len == stream.len,
            .output = target + made_len,
            .output_len = out_len,
            .is_first = is_first,
        };
        if (!step_run(expansion, &step, state)) {
            break;
        }
        has_moved = is_first || step.input.len < in_len || step.output_len < out_len;
        taken_len += in_len - step.input.len;
        made_len += out_len - step.output_len;
        is_finished = step.is_finished;
    }
    free(state);
    return is_finished && made_len == expansion->unit_len;
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    struct expansion expansion = {.type = types[fuzz_take(&input, 1) % (sizeof(types) / sizeof(types[0]))]};
    expansion.unit_len = 1 + (uint32_t)(fuzz_take(&input, 4) % UNIT_LEN_MAX);
    expansion.in_len = 1 + fuzz_take(&input, 2);
    expansion.out_len = 1 + fuzz_take(&input, 2);
    struct expansion whole = expansion;
    whole.in_len = SIZE_MAX;
    whole.out_len = SIZE_MAX;
    struct span stream = {input.data, input.len};
    uint8_t *first = malloc(expansion.unit_len);
    uint8_t *second = malloc(expansion.unit_len);
    FUZZ_ASSERT(first != NULL && second != NULL);
    bool is_made = expand(&whole, stream, first);
    FUZZ_ASSERT(expand(&expansion, stream, second) == is_made);
    FUZZ_ASSERT(!is_made || memcmp(first, second, expansion.unit_len) == 0);
    free(second);
    free(first);
}
