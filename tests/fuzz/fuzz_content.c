/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_content.h"

#include <string.h>

#include "base/checked.h"

uint8_t *fuzz_decompress(struct image *image, const struct extent *extent, struct error *error)
{
    uint32_t unit_len = image_unit_len(image, extent);
    FUZZ_ASSERT(unit_len <= image_unit_len_max(image) && image_unit_len_max(image) <= FORMAT_CLUSTER_LEN_MAX);
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
            return error_set(error, ERROR_UNSUPPORTED, NULL, "encrypted");
        }
        voff += extent->len;
    }
    return true;
}
