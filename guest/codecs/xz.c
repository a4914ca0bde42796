/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/xz.h"

#include <lzma.h>

#include "base/checked.h"
#include "guest/codecs/codec_memory.h"

/* What liblzma takes besides a dictionary, twice as much as was seen. */
#define OTHER_MEMORY_LEN (256u << 10)
/* Of one block's filters, four at most: options of 112 bytes for LZMA2, of a few for others. */
#define OPTIONS_LEN 1024u
/* A dictionary may be no shorter (LZMA2). */
#define DICTIONARY_LEN_MIN 4096u

enum phase {
    PHASE_HEAD,       /* of the stream */
    PHASE_BLOCK_HEAD, /* or the index, which begins with a zero */
    PHASE_BLOCK,
    PHASE_INDEX,
    PHASE_FOOT,
};

struct xz {
    enum phase phase;
    lzma_stream_flags flags;
    lzma_stream lzma; /* decodes blocks */
    lzma_block block;
    lzma_filter filters[LZMA_FILTERS_MAX + 1];
    lzma_index_hash *index_hash;
    lzma_allocator allocator;
    struct codec_memory left;
    lzma_allocator options_allocator; /* for the options of a block's filters, which nobody reads once it has begun */
    struct codec_memory options_left;
    uint8_t options[OPTIONS_LEN] __attribute__((aligned(CODEC_MEMORY_ALIGN)));
    uint32_t have_len; /* of a head */
    uint8_t head[LZMA_BLOCK_HEADER_SIZE_MAX];
    uint8_t memory[] __attribute__((aligned(CODEC_MEMORY_ALIGN)));
};

static uint32_t dictionary_len_max(uint32_t unit_len)
{
    uint64_t len = min_u64(max_u64(unit_len, DICTIONARY_LEN_MIN), XZ_DICTIONARY_LEN_MAX);
    return (uint32_t)len;
}

size_t xz_state_len(uint32_t unit_len)
{
    return sizeof(struct xz) + OTHER_MEMORY_LEN + dictionary_len_max(unit_len);
}

static void *give_memory(void *opaque, size_t count, size_t len)
{
    return codec_memory_take(opaque, count, len);
}

static bool begin(struct xz *own, uint32_t unit_len)
{
    memset(own, 0, sizeof(*own));
    own->left = (struct codec_memory){own->memory, xz_state_len(unit_len) - sizeof(*own)};
    own->allocator = (lzma_allocator){.alloc = give_memory, .free = codec_memory_keep, .opaque = &own->left};
    own->options_allocator = own->allocator;
    own->options_allocator.opaque = &own->options_left;
    own->lzma = (lzma_stream)LZMA_STREAM_INIT;
    own->lzma.allocator = &own->allocator;
    own->index_hash = lzma_index_hash_init(NULL, &own->allocator);
    return own->index_hash != NULL;
}

/*
 * Only LZMA2 has options with a dictionary; it is the last filter. All blocks get the same one, so that liblzma uses
 * its memory again: a longer one than asked for reads the same.
 */
static bool limit_dictionary(const struct xz *own, uint32_t unit_len, struct error *error)
{
    for (uint32_t i = 0; i < LZMA_FILTERS_MAX && own->filters[i].id != LZMA_VLI_UNKNOWN; i++) {
        if (own->filters[i].id == LZMA_FILTER_LZMA2) {
            lzma_options_lzma *options = own->filters[i].options;
            if (options->dict_size > XZ_DICTIONARY_LEN_MAX && unit_len > XZ_DICTIONARY_LEN_MAX) {
                return error_set(error, ERROR_UNSUPPORTED, NULL,
                                 "LZMA with a dictionary of %u bytes is not supported: %u at most", options->dict_size,
                                 XZ_DICTIONARY_LEN_MAX);
            }
            options->dict_size = dictionary_len_max(unit_len);
        }
    }
    return true;
}

/*
 * The head of a block is there: begins with it. What the one before it had of memory is used again by liblzma, but
 * where it had other filters: a stream that changes them often runs out of memory.
 */
static bool begin_block(struct xz *own, uint32_t unit_len, struct error *error)
{
    own->block = (lzma_block){.version = 1, .check = own->flags.check, .filters = own->filters};
    own->block.header_size = lzma_block_header_size_decode(own->head[0]);
    own->options_left = (struct codec_memory){own->options, sizeof(own->options)};
    if (lzma_block_header_decode(&own->block, &own->options_allocator, own->head) != LZMA_OK) {
        return false;
    }
    own->block.ignore_check = false;
    RETURN_IF_FAILED(limit_dictionary(own, unit_len, error));
    own->phase = PHASE_BLOCK;
    lzma_ret result = lzma_block_decoder(&own->lzma, &own->block);
    if (result == LZMA_MEM_ERROR) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "LZMA whose filters take more memory than %u bytes, and a dictionary, is not supported",
                         OTHER_MEMORY_LEN);
    }
    return result == LZMA_OK;
}

/* Sets *ret_goes_on where there is something to do without more input or room. */
static bool run_block(struct xz *own, struct stream_step *step, bool *ret_goes_on)
{
    lzma_stream *lzma = &own->lzma;
    size_t input_len = step->input.len;
    size_t output_len = step->output_len;
    lzma->next_in = step->input.data;
    lzma->avail_in = input_len;
    lzma->next_out = step->output;
    lzma->avail_out = output_len;
    lzma_ret result = lzma_code(lzma, LZMA_RUN);
    stream_step_take(step, input_len - lzma->avail_in);
    step->output += output_len - lzma->avail_out;
    step->output_len -= output_len - lzma->avail_out;
    *ret_goes_on = result == LZMA_STREAM_END;
    if (result == LZMA_STREAM_END) {
        own->phase = PHASE_BLOCK_HEAD;
        own->have_len = 0;
        return lzma_index_hash_append(own->index_hash, lzma_block_unpadded_size(&own->block),
                                      own->block.uncompressed_size) == LZMA_OK;
    }
    return result == LZMA_OK || result == LZMA_BUF_ERROR;
}

static bool run_index(struct xz *own, struct span bytes, struct stream_step *step, bool *ret_goes_on)
{
    size_t taken_len = 0;
    lzma_ret result = lzma_index_hash_decode(own->index_hash, bytes.data, &taken_len, bytes.len);
    if (bytes.data == step->input.data) {
        stream_step_take(step, taken_len);
    }
    *ret_goes_on = result == LZMA_STREAM_END;
    if (result == LZMA_STREAM_END) {
        own->phase = PHASE_FOOT;
        own->have_len = 0;
    }
    return result == LZMA_STREAM_END || result == LZMA_OK || result == LZMA_BUF_ERROR;
}

static bool run_block_head(struct xz *own, struct stream_step *step, uint32_t unit_len, bool *ret_goes_on,
                           struct error *error)
{
    if (!stream_step_collect(step, own->head, &own->have_len, 1)) {
        return true;
    }
    if (own->head[0] == 0) {
        own->phase = PHASE_INDEX;
        RETURN_IF_FAILED(run_index(own, (struct span){own->head, 1}, step, ret_goes_on));
        *ret_goes_on = true;
        return true;
    }
    *ret_goes_on = stream_step_collect(step, own->head, &own->have_len, lzma_block_header_size_decode(own->head[0]));
    return !*ret_goes_on || begin_block(own, unit_len, error);
}

bool xz_step(struct stream_step *step, uint32_t unit_len, void *state, struct error *error)
{
    struct xz *own = state;
    bool goes_on = true;
    lzma_stream_flags foot;
    if (step->is_first && !begin(own, unit_len)) {
        return false;
    }
    while (goes_on) { /* ends: each round takes input */
        goes_on = false;
        switch (own->phase) {
        case PHASE_HEAD:
            goes_on = stream_step_collect(step, own->head, &own->have_len, LZMA_STREAM_HEADER_SIZE);
            if (goes_on) {
                RETURN_IF_FAILED(lzma_stream_header_decode(&own->flags, own->head) == LZMA_OK);
                own->phase = PHASE_BLOCK_HEAD;
                own->have_len = 0;
            }
            break;
        case PHASE_BLOCK_HEAD:
            RETURN_IF_FAILED(run_block_head(own, step, unit_len, &goes_on, error));
            break;
        case PHASE_BLOCK:
            RETURN_IF_FAILED(run_block(own, step, &goes_on));
            break;
        case PHASE_INDEX:
            RETURN_IF_FAILED(step->input.len == 0 || run_index(own, step->input, step, &goes_on));
            break;
        case PHASE_FOOT:
            if (stream_step_collect(step, own->head, &own->have_len, LZMA_STREAM_HEADER_SIZE)) {
                step->is_finished = true;
                return lzma_stream_footer_decode(&foot, own->head) == LZMA_OK &&
                       lzma_stream_flags_compare(&own->flags, &foot) == LZMA_OK;
            }
            break;
        }
    }
    return true;
}
