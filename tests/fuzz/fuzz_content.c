/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_content.h"

#include <string.h>

#include "abi/layout.h"
#include "base/checked.h"
#include "guest/image/unit_stream.h"

/* A long unit comes out in steps, here with memory of its own as above. */
static uint8_t *long_unit_read(struct image *image, const struct extent *extent, struct error *error)
{
    struct arena own;
    struct unit_stream stream;
    uint64_t memory_len = 2 * unit_stream_memory_len(image->stream_state_len);
    struct extent unit = *extent;
    unit.voff = unit.cluster_voff;
    unit.len = image_unit_len(image, extent);
    uint8_t *memory = aligned_alloc(LAYOUT_PAGE_LEN, round_up(memory_len, LAYOUT_PAGE_LEN));
    uint8_t *target = malloc(unit.len);
    FUZZ_ASSERT(memory != NULL && target != NULL);
    arena_init(&own, (uint64_t)(uintptr_t)memory, memory_len);
    FUZZ_ASSERT(unit_stream_init(&stream, &own, image->stream_state_len));
    bool is_read = unit_stream_read(&stream, image, &unit, target, error);
    free(memory);
    if (!is_read) {
        free(target);
        return NULL;
    }
    return target;
}

uint8_t *fuzz_decompress(struct image *image, const struct extent *extent, struct error *error)
{
    uint32_t unit_len = image_unit_len(image, extent);
    FUZZ_ASSERT(unit_len <= image_unit_len_max(image));
    if (unit_is_long(image, extent)) {
        return long_unit_read(image, extent, error);
    }
    FUZZ_ASSERT(extent->compressed_len <= 2ull * image_unit_len_max(image));
    FUZZ_ASSERT(extent->voff >= extent->cluster_voff);
    FUZZ_ASSERT(extent->voff + extent->len - extent->cluster_voff <= unit_len);
    uint8_t *stream = malloc((size_t)max_u64(extent->compressed_len, 1));
    uint8_t *target = malloc(unit_len);
    void *scratch = malloc((size_t)max_u64(image->scratch_len, 1));
    FUZZ_ASSERT(stream != NULL && target != NULL && scratch != NULL);
    bool is_read =
        file_read(extent->file, extent->file_off, stream, extent->compressed_len, error) &&
        image->format->decompress(image, extent, (struct span){stream, extent->compressed_len}, target, scratch, error);
    free(scratch);
    free(stream);
    if (!is_read) {
        free(target);
        return NULL;
    }
    return target;
}

static bool compressed_read(struct image *image, const struct extent *extent, uint8_t *target, struct error *error)
{
    uint8_t *cluster = fuzz_decompress(image, extent, error);
    if (cluster == NULL) {
        return false;
    }
    memcpy(target, cluster + (extent->voff - extent->cluster_voff), extent->len);
    free(cluster);
    return true;
}

bool fuzz_content_read(struct image *image, uint8_t *target, struct error *error)
{
    uint64_t voff = 0;
    while (voff < image->virtual_len) { /* ends: an extent is never empty */
        struct chain_extent chain = {.depth = 0};
        RETURN_IF_FAILED(image_map(image, voff, UINT64_MAX, &chain, error));
        const struct extent *extent = &chain.extent;
        switch (extent->kind) {
        case EXTENT_UNALLOCATED:
        case EXTENT_ZERO:
            memset(target + voff, 0, extent->len);
            break;
        case EXTENT_DATA:
            RETURN_IF_FAILED(file_read(extent->file, extent->file_off, target + voff, extent->len, error));
            break;
        case EXTENT_COMPRESSED:
            RETURN_IF_FAILED(compressed_read(image, extent, target + voff, error));
            break;
        case EXTENT_ENCRYPTED:
        default:
            return error_set(error, ERROR_UNSUPPORTED, NULL, "encrypted"); /* without a key, no image gets here */
        }
        voff += extent->len;
    }
    return true;
}
