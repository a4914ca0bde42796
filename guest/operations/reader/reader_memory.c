/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader_memory.h"

#include "abi/layout.h"
#include "base/checked.h"
#include "guest/image/image_file.h"
#include "guest/operations/reader/reader_streams.h"

/* Large enough that requests cost nothing, small enough that several are in the processors' caches. */
#define SLOT_LEN_MIN (1ull << 20)
/* Their memory is not taken for small things and alignment. */
#define CODEC_RESERVE_LEN (128ull << 10)

uint64_t reader_memory_slot_len(const struct slot_environment *environment)
{
    return sizeof(struct reader_slot) + environment->slot_len + environment->streams_len + 2 * LAYOUT_PAGE_LEN;
}

/* What codecs may take of the memory, so that there is enough for slots. */
static uint64_t codec_memory_len(const struct slot_environment *environment, const struct reader_setup *setup)
{
    uint64_t room = min_u64(setup->memory_len, arena_left(setup->arena, LAYOUT_PAGE_LEN));
    uint64_t least = READER_MEMORY_SLOT_COUNT_MIN * reader_memory_slot_len(environment) + CODEC_RESERVE_LEN;
    return room > least ? room - least : 0;
}

/* Scratch memory for each vCPU, or for as many as it suffices: codecs that need much are slow. */
static bool init_scratch(struct slot_environment *environment, const struct reader_setup *setup, uint64_t room)
{
    uint64_t len = environment->scratch_len + environment->unit_len_max;
    uint32_t count = (uint32_t)min_u64(setup->vcpu_count, max_u64(room / len, 1));
    environment->scratch = arena_allocate(setup->arena, count * sizeof(*environment->scratch), _Alignof(uint8_t *));
    environment->scratch_is_taken = arena_allocate(setup->arena, count * sizeof(uint32_t), _Alignof(uint32_t));
    for (uint32_t i = 0; environment->scratch != NULL && i < count; i++) {
        environment->scratch[i] = arena_allocate(setup->arena, len, LAYOUT_PAGE_LEN);
        if (environment->scratch[i] == NULL) {
            return false;
        }
    }
    environment->scratch_count = count;
    environment->vcpu_count = setup->vcpu_count;
    return environment->scratch != NULL && environment->scratch_is_taken != NULL;
}

/* What the images of a chain, and those that their files are within, have need of. */
struct codec_needs {
    uint64_t cluster_len; /* of units that are expanded, or decrypted, whole */
    uint64_t scratch_len;
    bool has_long;
    uint64_t long_state_len;
};

/* Recursion: images are within fewer than IMAGE_FILES_MAX others. */
static void add_needs(const struct image *image, struct codec_needs *needs)
{
    for (; image != NULL; image = image->backing) { /* ends: as image_chain_len */
        if (image->cipher != NULL) {
            needs->cluster_len =
                max_u64(needs->cluster_len, image->cipher->unit_len); /* for what is a part of a unit */
        }
        if (image->format->decompress != NULL) {
            uint64_t unit_len = min_u64(image_unit_len_max(image), FORMAT_CLUSTER_LEN_MAX);
            needs->cluster_len = max_u64(needs->cluster_len, unit_len);
            needs->scratch_len = max_u64(needs->scratch_len, image->scratch_len);
        }
        if (image_unit_len_max(image) > FORMAT_CLUSTER_LEN_MAX) {
            needs->has_long = true;
            needs->long_state_len = max_u64(needs->long_state_len, image->stream_state_len);
        }
        add_needs(image_file_image(image->file), needs);
    }
}

/* Scratch memory, and decoders of long units, if an image may have some: half of the memory for each kind then. */
static bool init_codecs(struct slot_environment *environment, const struct reader_setup *setup,
                        const struct codec_needs *needs)
{
    uint64_t room = codec_memory_len(environment, setup);
    uint64_t left_before = arena_left(setup->arena, 1);
    struct reader_streams_setup streams = {
        .arena = setup->arena,
        .environment = environment,
        .vcpu_count = setup->vcpu_count,
        .state_len = needs->long_state_len,
    };
    bool has_long = needs->has_long;
    if (!init_scratch(environment, setup, has_long ? room / 2 : room)) {
        return false;
    }
    uint64_t taken = left_before - arena_left(setup->arena, 1);
    streams.memory_len = (room > taken ? room - taken : 0) / 2; /* what is left is for what they make */
    return !has_long || reader_streams_init(&environment->streams, &streams);
}

bool reader_memory_init(struct slot_environment *environment, const struct reader_setup *setup)
{
    struct codec_needs needs = {.scratch_len = 1};
    for (uint32_t i = 0; i < setup->image_count; i++) {
        add_needs(setup->images[i], &needs);
    }
    uint64_t cluster_len = needs.cluster_len;
    environment->scratch_len = round_up(needs.scratch_len, LAYOUT_PAGE_LEN);
    environment->slot_len = SLOT_LEN_MIN;
    environment->unit_len_max = cluster_len;
    while (environment->slot_len < cluster_len) {
        environment->slot_len *= 2;
    }
    /* A cluster's stream may be longer than the cluster: twice is more than any format can say. */
    environment->streams_len = max_u64(environment->slot_len, 2 * cluster_len) + LAYOUT_PAGE_LEN * 4;
    return init_codecs(environment, setup, &needs);
}
