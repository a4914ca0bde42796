/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/image_read.h"

#include <string.h>

#include "base/checked.h"

#define STREAM_ALIGN 512u

/* Memory for units of this image; there are few lengths of them in a chain, and each one is taken once. */
static bool memory_take(const struct image *image, struct image_read_memory *memory, struct error *error)
{
    struct arena *arena = image->environment->arena;
    uint32_t unit_len = (uint32_t)min_u64(image_unit_len_max(image), FORMAT_CLUSTER_LEN_MAX);
    if (unit_len > memory->unit_len) {
        memory->stream = arena_allocate(arena, 2ull * unit_len, STREAM_ALIGN);
        memory->cluster = arena_allocate(arena, unit_len, STREAM_ALIGN);
        memory->unit_len = unit_len;
    }
    if (image->scratch_len > memory->scratch_len) {
        memory->scratch = arena_allocate(arena, image->scratch_len, STREAM_ALIGN);
        memory->scratch_len = image->scratch_len;
    }
    if (memory->stream == NULL || memory->cluster == NULL || (memory->scratch == NULL && image->scratch_len > 0)) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for compressed clusters");
    }
    return true;
}

bool image_read_cluster(const struct image *image, const struct extent *extent, struct image_read_memory *memory,
                        const uint8_t **ret_cluster, struct error *error)
{
    RETURN_IF_FAILED(memory_take(image, memory, error));
    uint64_t stream_len = min_u64(extent->compressed_len, 2ull * memory->unit_len);
    if (image_unit_len(image, extent) > memory->unit_len) {
        return error_set(error, ERROR_MALFORMED, extent->file->name, "the compressed unit at offset 0x%llx is too long",
                         (unsigned long long)extent->file_off);
    }
    RETURN_IF_FAILED(file_read(extent->file, extent->file_off, memory->stream, (size_t)stream_len, error));
    struct span stream = {memory->stream, (size_t)stream_len};
    struct extent own = image_own_extent(extent);
    RETURN_IF_FAILED(image->format->decompress(image, &own, stream, memory->cluster, memory->scratch, error));
    *ret_cluster = memory->cluster;
    return true;
}

static bool stream_take(const struct image *image, struct image_read_memory *memory, struct error *error)
{
    struct unit_stream *stream = &memory->long_unit;
    if ((stream->buffer == NULL || stream->state_len < image->stream_state_len) &&
        !unit_stream_init(stream, image->environment->arena, image->stream_state_len)) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for compressed units");
    }
    return true;
}

uint64_t image_read_memory_len(const struct image *image)
{
    uint64_t unit_len = 0;
    uint64_t scratch_len = 0;
    for (; image != NULL; image = image->backing) { /* ends: a chain does */
        if (image->format->decompress != NULL) {
            unit_len = max_u64(unit_len, min_u64(image_unit_len_max(image), FORMAT_CLUSTER_LEN_MAX));
            scratch_len = max_u64(scratch_len, image->scratch_len);
        }
    }
    return 3 * unit_len + scratch_len;
}

bool image_read_reserve(const struct image *image, struct image_read_memory *memory, struct error *error)
{
    for (; image != NULL; image = image->backing) { /* ends: as image_chain_len */
        /* 0: an image without such units, of a format that has them (flat vmdk). */
        uint64_t unit_len = image_unit_len_max(image);
        RETURN_IF_FAILED(image->format->decompress == NULL || unit_len == 0 || memory_take(image, memory, error));
        RETURN_IF_FAILED(unit_len <= FORMAT_CLUSTER_LEN_MAX || stream_take(image, memory, error));
    }
    return true;
}

static bool read_long(const struct image *image, const struct extent *extent, uint8_t *target,
                      struct image_read_memory *memory, struct error *error)
{
    RETURN_IF_FAILED(stream_take(image, memory, error));
    return unit_stream_read(&memory->long_unit, image, extent, target, error);
}

/* Whole units to their place, the others one by one. */
bool image_read_encrypted(const struct image *image, const struct extent *extent, uint8_t *target, struct error *error)
{
    uint8_t unit[DATA_CIPHER_UNIT_LEN_MAX];
    const struct data_cipher *cipher = image->cipher;
    if (cipher == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "the image was opened without its key");
    }
    for (uint64_t done = 0; done < extent->len;) { /* ends: each round has a part of a unit */
        uint64_t in_unit = (extent->cipher_off + done) % cipher->unit_len;
        uint64_t whole_len = in_unit == 0 ? round_down(extent->len - done, cipher->unit_len) : 0;
        if (whole_len > 0) {
            RETURN_IF_FAILED(file_read(extent->file, extent->file_off + done, target + done, (size_t)whole_len, error));
            cipher->decrypt(cipher, extent->cipher_off + done, target + done, target + done, (size_t)whole_len);
            done += whole_len;
            continue;
        }
        uint64_t len = min_u64(extent->len - done, cipher->unit_len - in_unit);
        RETURN_IF_FAILED(file_read(extent->file, extent->file_off + done - in_unit, unit, cipher->unit_len, error));
        cipher->decrypt(cipher, extent->cipher_off + done - in_unit, unit, unit, cipher->unit_len);
        memcpy(target + done, unit + in_unit, (size_t)len);
        done += len;
    }
    return true;
}

static bool read_extent(const struct chain_extent *found, uint8_t *target, struct image_read_memory *memory,
                        struct error *error)
{
    const struct extent *extent = &found->extent;
    const uint8_t *cluster;
    if (found->missing != NULL) {
        return image_report_missing(found, error);
    }
    switch (extent->kind) {
    case EXTENT_DATA:
        return file_read(extent->file, extent->file_off, target, (size_t)extent->len, error);
    case EXTENT_COMPRESSED:
        if (unit_is_long(found->image, extent)) {
            return read_long(found->image, extent, target, memory, error);
        }
        RETURN_IF_FAILED(image_read_cluster(found->image, extent, memory, &cluster, error));
        memcpy(target, cluster + (extent->voff - extent->cluster_voff), extent->len);
        return true;
    case EXTENT_ENCRYPTED:
        return image_read_encrypted(found->image, extent, target, error);
    case EXTENT_ZERO:
    case EXTENT_UNALLOCATED:
    default:
        memset(target, 0, extent->len);
        return true;
    }
}

bool image_read(struct image *image, uint64_t voff, uint8_t *target, uint64_t len, struct image_read_memory *memory,
                struct error *error)
{
    while (len > 0 && voff < image->virtual_len) { /* ends: extents are not empty */
        struct chain_extent found;
        RETURN_IF_FAILED(image_map(image, voff, len, &found, error));
        RETURN_IF_FAILED(read_extent(&found, target, memory, error));
        target += found.extent.len;
        voff += found.extent.len;
        len -= found.extent.len;
    }
    memset(target, 0, len);
    return true;
}
