/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, what is where, and blocks: a shell script with two numbers behind it, a table of offsets, and blocks of one
 * length, each a zlib stream from its offset to the next one's.
 */
#include "guest/formats/cloop/cloop.h"

#include "base/checked.h"
#include "base/endian.h"
#include "base/units.h"
#include "guest/codecs/deflate.h"
#include "guest/codecs/deflate_stream.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"
#include "guest/image/tables/block_table.h"

#define HEAD_OFF 128u
/* QEMU's bounds, of blocks and of the table. */
#define BLOCK_LEN_MAX (64u << 20)
#define BLOCK_COUNT_MAX 536870910u
#define TABLE_LEN_MAX (512u << 20)
#define OFFSET_LEN 8u

/* Big-endian, at HEAD_OFF. */
struct cloop_head_disk {
    struct be32 block_size;
    struct be32 block_count;
};

struct cloop {
    uint32_t block_len;
    struct block_table offsets; /* one more than there are blocks */
};

static const struct cloop *cloop_of(const struct image *image)
{
    return image->state;
}

/* A shell script that mounts itself. */
static int cloop_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0,
                          "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n")
               ? PROBE_MAYBE
               : 0;
}

static bool check_head(uint32_t block_len, uint32_t block_count, struct error *error)
{
    if (block_len % SECTOR_LEN != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "block_size %u must be a multiple of 512", block_len);
    }
    if (block_len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "block_size cannot be zero");
    }
    if (block_len > BLOCK_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "block_size %u must be %u MB or less", block_len,
                         BLOCK_LEN_MAX >> 20);
    }
    if (block_count > BLOCK_COUNT_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "n_blocks %u must be %u or less", block_count, BLOCK_COUNT_MAX);
    }
    if (((uint64_t)block_count + 1) * OFFSET_LEN > TABLE_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "image requires too many offsets, try increasing block size");
    }
    return true;
}

/* Blocks follow each other, and none is longer than QEMU takes. */
static bool check_offsets(struct image *image, const struct cloop *cloop, struct error *error)
{
    uint64_t last_off = 0;
    for (uint64_t i = 0; i < cloop->offsets.count; i++) { /* ends: TABLE_LEN_MAX */
        uint64_t off;
        RETURN_IF_FAILED(block_table_read(image->environment->cache, &cloop->offsets, i, &off, error));
        if (i > 0 && off < last_off) {
            return error_set(error, ERROR_MALFORMED, NULL,
                             "offsets not monotonically increasing at index %llu, image file is corrupt",
                             (unsigned long long)i);
        }
        if (i > 0 && off - last_off > 2ull * BLOCK_LEN_MAX) {
            return error_set(error, ERROR_MALFORMED, NULL,
                             "invalid compressed block size at index %llu, image file is corrupt",
                             (unsigned long long)i);
        }
        last_off = off;
    }
    return true;
}

static bool cloop_open(struct image *image, struct error *error)
{
    struct cloop *cloop;
    struct cloop_head_disk head;
    RETURN_IF_FAILED(format_open_read(image, HEAD_OFF, &head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*cloop), (void **)&cloop, error));
    uint32_t block_count = be32_get(head.block_count);
    cloop->block_len = be32_get(head.block_size);
    RETURN_IF_FAILED(check_head(cloop->block_len, block_count, error));
    cloop->offsets = (struct block_table){
        .file = image->file,
        .off = HEAD_OFF + sizeof(head),
        .count = (uint64_t)block_count + 1,
        .word = BLOCK_TABLE_BE64,
    };
    RETURN_IF_FAILED(check_offsets(image, cloop, error));
    image->unit_len_max = cloop->block_len;
    image->scratch_len = DEFLATE_SCRATCH_LEN;
    image->stream_state_len = DEFLATE_STREAM_LEN;
    return format_open_set_len(image, (uint64_t)block_count * cloop->block_len, error);
}

/* A block that is expanded at once has its stream in memory. */
static uint64_t stream_len_max(const struct cloop *cloop)
{
    return cloop->block_len > FORMAT_CLUSTER_LEN_MAX ? 2ull * BLOCK_LEN_MAX : 2ull * cloop->block_len;
}

static bool cloop_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct cloop *cloop = cloop_of(image);
    uint64_t block = voff / cloop->block_len;
    uint64_t off, end_off;
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &cloop->offsets, block, &off, error));
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &cloop->offsets, block + 1, &end_off, error));
    /* Checked at opening, but the file may have changed since. */
    if (end_off < off || end_off - off > stream_len_max(cloop)) {
        return error_set(error, ERROR_MALFORMED, NULL, "block %llu has an impossible length",
                         (unsigned long long)block);
    }
    *ret_extent = (struct extent){
        .voff = voff,
        .len = min_u64(len, cloop->block_len - voff % cloop->block_len),
        .kind = EXTENT_COMPRESSED,
        .has_file_off = true,
        .file_off = off,
        .file = image->file,
        .compressed_len = end_off - off,
        .cluster_voff = block * cloop->block_len,
        .cluster_len = cloop->block_len,
    };
    return true;
}

static bool cloop_decompress(const struct image *image, const struct extent *extent, struct span stream,
                             uint8_t *target, void *scratch, struct error *error)
{
    if (!deflate_expand_zlib(stream, target, extent->cluster_len, scratch)) {
        return error_set(error, ERROR_MALFORMED, image->file->name, "the block of offset %llu is damaged (at %llu)",
                         (unsigned long long)extent->cluster_voff, (unsigned long long)extent->file_off);
    }
    return true;
}

static bool cloop_decompress_step(const struct image *image, const struct extent *extent, struct stream_step *step,
                                  void *state, struct error *error)
{
    (void)image;
    (void)extent;
    (void)error;
    return deflate_stream_step(step, state);
}

const struct format cloop_format = {
    .name = "cloop",
    .is_opaque = true,
    .is_read_only = true,
    .probe = cloop_probe,
    .open = cloop_open,
    .map = cloop_map,
    .decompress = cloop_decompress,
    .decompress_step = cloop_decompress_step,
};
