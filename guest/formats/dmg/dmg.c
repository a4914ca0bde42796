/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, and what is where: a trailer at the file's end leads to tables of chunks, each of which is some sectors of
 * the disk: zeros, plain, or compressed.
 */
#include "guest/formats/dmg/dmg.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/dmg/dmg_chunks.h"
#include "guest/formats/dmg/dmg_codec.h"
#include "guest/formats/dmg/dmg_plist.h"
#include "guest/formats/dmg/dmg_resources.h"
#include "guest/formats/dmg/dmg_trailer.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/* Streams of the smallest chunks are longer than what they make: the layer has room for twice this. */
#define UNIT_LEN_MIN 65536u

struct dmg {
    struct dmg_chunks chunks;
    uint32_t last_index; /* of the chunk that was asked for last */
};

/* Its magic number is at the end of the file. */
static int dmg_probe(struct span head, struct span name)
{
    static const char suffix[] = {'.', 'd', 'm', 'g'};
    (void)head;
    return name.len >= sizeof(suffix) && memcmp(name.data + name.len - sizeof(suffix), suffix, sizeof(suffix)) == 0
               ? PROBE_MAYBE
               : 0;
}

static bool read_trailer(struct image *image, struct dmg_trailer *ret_trailer, struct error *error)
{
    uint8_t search[DMG_TRAILER_SEARCH_LEN];
    uint8_t bytes[DMG_TRAILER_LEN];
    uint64_t off;
    uint32_t index;
    uint32_t len = dmg_trailer_place(image->file->len, &off);
    if (len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "dmg file must be at least 512 bytes long");
    }
    RETURN_IF_FAILED(format_open_read(image, off, search, len, error));
    if (!dmg_trailer_find((struct span){search, len}, &index)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Could not locate UDIF trailer in dmg file");
    }
    RETURN_IF_FAILED(format_open_read(image, off + index, bytes, sizeof(bytes), error));
    return dmg_trailer_parse((struct span){bytes, sizeof(bytes)}, off + index, ret_trailer, error);
}

static bool read_plist(struct image *image, const struct dmg_range *range, struct dmg_chunks *chunks,
                       struct error *error)
{
    struct dmg_plist plist = {.chunks = chunks};
    for (uint64_t done_len = 0; done_len < range->len;) { /* ends: DMG_TABLES_LEN_MAX */
        struct span text;
        RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, range->off + done_len,
                                    range->len - done_len, &text, error));
        RETURN_IF_FAILED(dmg_plist_feed(&plist, text, error));
        done_len += text.len;
    }
    return dmg_plist_end(&plist, error);
}

/* As in QEMU, a resource fork comes before a property list. */
static bool read_tables(struct image *image, const struct dmg_trailer *trailer, struct dmg_chunks *chunks,
                        struct error *error)
{
    bool has_resources = trailer->resources.len > 0;
    const struct dmg_range *range = has_resources ? &trailer->resources : &trailer->plist;
    if (range->len > DMG_TABLES_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the %s has %llu bytes: more than %u are not supported",
                         has_resources ? "resource fork" : "property list", (unsigned long long)range->len,
                         DMG_TABLES_LEN_MAX);
    }
    return has_resources ? dmg_resources_read(image, range->off, range->len, chunks, error)
                         : read_plist(image, range, chunks, error);
}

/* What the longest units take, and the memory of their codecs. */
static void set_units(struct image *image, const struct dmg_chunks *chunks)
{
    image->unit_len_max = UNIT_LEN_MIN;
    for (uint32_t i = 0; i < chunks->count; i++) {
        const struct dmg_chunk *chunk = &chunks->chunks[i];
        if (dmg_chunk_is_compressed(chunk->type)) {
            uint32_t unit_len = (uint32_t)chunk->sector_count * DMG_SECTOR_LEN;
            bool is_long = unit_len > FORMAT_CLUSTER_LEN_MAX;
            uint32_t *state_len = is_long ? &image->stream_state_len : &image->scratch_len;
            *state_len = (uint32_t)max_u64(*state_len, dmg_codec_state_len(chunk->type, unit_len));
            image->unit_len_max = (uint32_t)max_u64(image->unit_len_max, unit_len);
        }
    }
}

/* They were counted. */
static bool keep_chunks(struct image *image, const struct dmg_trailer *trailer, struct dmg_chunks *chunks,
                        struct error *error)
{
    RETURN_IF_FAILED(dmg_chunks_keep(chunks, image->environment->arena, error));
    RETURN_IF_FAILED(read_tables(image, trailer, chunks, error));
    if (chunks->is_disordered) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "chunk %u begins before the end of one before it: such tables are not supported",
                         chunks->disordered_index);
    }
    set_units(image, chunks);
    return true;
}

static bool dmg_open(struct image *image, struct error *error)
{
    struct dmg_trailer trailer;
    struct dmg *dmg;
    RETURN_IF_FAILED(read_trailer(image, &trailer, error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*dmg), (void **)&dmg, error));
    struct dmg_chunks *chunks = &dmg->chunks;
    chunks->data_off = trailer.data_off;
    RETURN_IF_FAILED(read_tables(image, &trailer, chunks, error));
    if (image->purpose != IMAGE_TO_DESCRIBE) {
        RETURN_IF_FAILED(keep_chunks(image, &trailer, chunks, error));
    }
    /* QEMU has an empty disk where the trailer says so, whatever the tables have. */
    uint64_t sector_count = trailer.sector_count > 0 ? trailer.sector_count : chunks->end_sector;
    return format_open_set_len(image, sector_count * DMG_SECTOR_LEN, error);
}

static bool map_stored(struct image *image, const struct dmg_chunk *chunk, struct extent *extent, struct error *error)
{
    uint64_t voff = chunk->sector * DMG_SECTOR_LEN;
    uint64_t unit_len = chunk->sector_count * DMG_SECTOR_LEN;
    if (!range_is_within(chunk->off, chunk->len, image->file->len)) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "the chunk of sector %llu (%u bytes at %llu) ends behind the end of the file",
                         (unsigned long long)chunk->sector, chunk->len, (unsigned long long)chunk->off);
    }
    extent->has_file_off = true;
    extent->file_off = chunk->off;
    extent->file = image->file;
    if (chunk->type == DMG_CHUNK_RAW) {
        if (chunk->len < unit_len) {
            return error_set(error, ERROR_MALFORMED, NULL, "the chunk of sector %llu has %llu sectors in %u bytes",
                             (unsigned long long)chunk->sector, (unsigned long long)chunk->sector_count, chunk->len);
        }
        extent->kind = EXTENT_DATA;
        extent->file_off += extent->voff - voff;
        return true;
    }
    extent->kind = EXTENT_COMPRESSED;
    extent->cluster_voff = voff;
    extent->cluster_len = (uint32_t)unit_len;
    extent->compressed_len = chunk->len;
    if (unit_len <= FORMAT_CLUSTER_LEN_MAX) { /* what is behind it is no part of a stream that makes sense */
        uint64_t room = 2 * min_u64(image->unit_len_max, FORMAT_CLUSTER_LEN_MAX);
        extent->compressed_len = min_u64(chunk->len, room);
    }
    return true;
}

static bool dmg_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct dmg *dmg = image->state;
    const struct dmg_chunks *chunks = &dmg->chunks;
    const struct dmg_chunk *chunk = dmg_chunks_find(chunks, voff / DMG_SECTOR_LEN, dmg->last_index);
    if (chunk == NULL) {
        return error_set(error, ERROR_MALFORMED, NULL, "no chunk of the image has sector %llu",
                         (unsigned long long)(voff / DMG_SECTOR_LEN));
    }
    dmg->last_index = (uint32_t)(chunk - chunks->chunks);
    uint64_t end = (chunk->sector + chunk->sector_count) * DMG_SECTOR_LEN;
    struct extent extent = {.voff = voff, .len = min_u64(len, end - voff), .kind = EXTENT_ZERO};
    if (chunk->type == DMG_CHUNK_RAW || dmg_chunk_is_compressed(chunk->type)) {
        RETURN_IF_FAILED(map_stored(image, chunk, &extent, error));
    } else if (chunk->type != DMG_CHUNK_ZERO && chunk->type != DMG_CHUNK_IGNORE) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the chunk of sector %llu is of unknown type 0x%x",
                         (unsigned long long)chunk->sector, chunk->type);
    }
    *ret_extent = extent;
    return true;
}

/* The chunk of an extent: by what map has said, so there is one. */
static const struct dmg_chunk *chunk_of(const struct image *image, const struct extent *extent)
{
    const struct dmg *dmg = image->state;
    return dmg_chunks_find(&dmg->chunks, extent->cluster_voff / DMG_SECTOR_LEN, 0);
}

static bool dmg_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                           void *scratch, struct error *error)
{
    const struct dmg_chunk *chunk = chunk_of(image, extent);
    if (dmg_codec_expand(chunk->type, stream, target, extent->cluster_len, scratch, error)) {
        return true;
    }
    if (!error_is_set(error)) {
        error_fill(error, ERROR_MALFORMED, image->file->name, "the chunk of sector %llu is damaged (at %llu)",
                   (unsigned long long)chunk->sector, (unsigned long long)chunk->off);
    }
    return false;
}

static bool dmg_decompress_step(const struct image *image, const struct extent *extent, struct stream_step *step,
                                void *state, struct error *error)
{
    return dmg_codec_step(chunk_of(image, extent)->type, extent->cluster_len, step, state, error);
}

const struct format dmg_format = {
    .name = "dmg",
    .is_opaque = true,
    .is_read_only = true,
    .probe = dmg_probe,
    .open = dmg_open,
    .map = dmg_map,
    .decompress = dmg_decompress,
    .decompress_step = dmg_decompress_step,
};
