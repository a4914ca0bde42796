/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, what is where, and compressed clusters. An L1 table leads to L2 tables, these to clusters, which may lie at
 * any multiple of 512; the top bit says that one is compressed, and the bits below it then have the length of its
 * stream.
 */
#include "guest/formats/qcow/qcow.h"

#include "base/checked.h"
#include "guest/codecs/deflate.h"
#include "guest/crypto/image_cipher.h"
#include "guest/formats/qcow/qcow_header.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/tables/extent_end.h"

static const struct qcow_header *header_of(const struct image *image)
{
    return image->state;
}

static int qcow_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "QFI\xfb\0\0\0\1") ? PROBE_SURE : 0;
}

static bool qcow_open(struct image *image, struct error *error)
{
    struct qcow_header *header;
    uint8_t head[QCOW_HEADER_LEN];
    RETURN_IF_FAILED(format_open_read(image, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*header), (void **)&header, error));
    RETURN_IF_FAILED(qcow_header_parse((struct span){head, sizeof(head)}, header, error));
    image->is_encrypted = header->is_encrypted;
    RETURN_IF_FAILED(image_key_check_format(image, header->is_encrypted ? "aes" : NULL, error));
    if (header->is_encrypted && image->purpose != IMAGE_TO_DESCRIBE) {
        RETURN_IF_FAILED(image_cipher_open_aes(image, error));
    }
    if (header->backing_off != 0) {
        RETURN_IF_FAILED(format_open_backing_name(image, header->backing_off, header->backing_len, error));
    }
    image->cluster_len = 1u << header->cluster_bits;
    image->scratch_len = DEFLATE_SCRATCH_LEN;
    image->has_dirty_flag = true; /* as QEMU has it: false */
    return format_open_set_len(image, round_down(header->disk_len, QCOW_SECTOR_LEN), error);
}

static bool set_compressed(const struct qcow_header *header, uint64_t entry, struct extent *extent)
{
    uint32_t off_bits = 63 - header->cluster_bits;
    extent->kind = EXTENT_COMPRESSED;
    extent->has_file_off = true;
    extent->file_off = entry & ((1ull << off_bits) - 1);
    extent->compressed_len = entry >> off_bits & ((1ull << header->cluster_bits) - 1);
    extent->cluster_voff = round_down(extent->voff, 1ull << header->cluster_bits);
    return true;
}

/* The extent by a run of entries of the L2 table at `l2_off`: at most `len` bytes, within the table. */
static bool map_table(struct image *image, uint64_t l2_off, uint64_t len, struct extent *extent, struct error *error)
{
    const struct qcow_header *header = header_of(image);
    struct cache *cache = image->environment->cache;
    struct block_table l2 = {
        .file = image->file, .off = l2_off, .count = 1ull << header->l2_bits, .word = BLOCK_TABLE_BE64};
    uint64_t cluster_len = 1ull << header->cluster_bits;
    uint64_t in_cluster = extent->voff & (cluster_len - 1);
    uint64_t index = extent->voff >> header->cluster_bits & (l2.count - 1);
    uint64_t count_max = (in_cluster + len - 1) / cluster_len + 1;
    uint64_t entry, count;
    RETURN_IF_FAILED(block_table_run(cache, &l2, index, count_max, cluster_len, &entry, &count, error));
    if (entry == 0) {
        RETURN_IF_FAILED(block_table_run(cache, &l2, index, count_max, 0, &entry, &count, error));
    } else if ((entry & QCOW_ENTRY_COMPRESSED) != 0) {
        count = 1;
        set_compressed(header, entry, extent);
    } else {
        if (entry % QCOW_SECTOR_LEN != 0) {
            return error_set(error, ERROR_MALFORMED, NULL, "the cluster at %llu has an unaligned offset (0x%llx)",
                             (unsigned long long)extent->voff, (unsigned long long)entry);
        }
        count =
            min_u64(count, (QCOW_ENTRY_COMPRESSED - entry) / cluster_len + 1); /* the next one would be compressed */
        extent->kind = header->is_encrypted ? EXTENT_ENCRYPTED : EXTENT_DATA;
        extent->has_file_off = true;
        extent->file_off = entry + in_cluster;
        extent->cipher_off = extent->voff;
    }
    extent->file = image->file;
    extent->len = min_u64(len, count * cluster_len - in_cluster);
    extent_look_for_end(extent, cluster_len);
    extent_look_for_entry(extent, &l2, index);
    return true;
}

static bool qcow_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct qcow_header *header = header_of(image);
    struct block_table l1 = {
        .file = image->file, .off = header->l1_off, .count = header->l1_count, .word = BLOCK_TABLE_BE64};
    uint64_t reach = 1ull << (header->cluster_bits + header->l2_bits);
    struct extent extent = {.voff = voff, .kind = EXTENT_UNALLOCATED};
    uint64_t l2_off;
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &l1, voff / reach, &l2_off, error));
    extent.len = min_u64(len, reach - voff % reach);
    extent_look_for_entry(&extent, &l1, voff / reach);
    if (l2_off != 0) {
        RETURN_IF_FAILED(map_table(image, l2_off, extent.len, &extent, error));
    }
    *ret_extent = extent;
    return true;
}

static bool qcow_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    const struct qcow_header *header = header_of(image);
    struct block_table l1 = {
        .file = image->file, .off = header->l1_off, .count = header->l1_count, .word = BLOCK_TABLE_BE64};
    uint64_t reach = 1ull << (header->cluster_bits + header->l2_bits);
    uint64_t l2_off;
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &l1, voff / reach, &l2_off, error));
    *ret_stretch = (struct table_stretch){reach, l2_off != 0 ? l2_off : TABLE_NONE};
    return true;
}

static bool qcow_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                            void *scratch, struct error *error)
{
    if (!deflate_expand(stream, target, image->cluster_len, scratch)) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the compressed cluster of offset %llu is damaged (its stream is at %llu)",
                         (unsigned long long)extent->cluster_voff, (unsigned long long)extent->file_off);
    }
    return true;
}

const struct format qcow_format = {
    .name = "qcow",
    .tells_by_cluster = true,
    .takes_backing = true,
    .probe = qcow_probe,
    .open = qcow_open,
    .map = qcow_map,
    .table_at = qcow_table_at,
    .decompress = qcow_decompress,
    .create = qcow_create,
    .open_target = qcow_open_target,
};
