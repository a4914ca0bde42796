/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, and what is where: an L1 table leads to L2 tables, all of the same length, and these to clusters. */
#include "guest/formats/qed/qed.h"

#include "base/checked.h"
#include "base/text.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int qed_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "QED\0") ? PROBE_SURE : 0;
}

static bool open_backing_name(struct image *image, const struct qed_header *header, struct error *error)
{
    if ((header->features & QED_FEATURE_BACKING_FILE) == 0) {
        return true;
    }
    if (!format_open_backing_name(image, header->backing_off, header->backing_len, error)) {
        *error = (struct error){0};
        return error_set(error, ERROR_MALFORMED, NULL, "Failed to read backing filename");
    }
    if ((header->features & QED_FEATURE_BACKING_NO_PROBE) != 0) {
        text_copy(image->backing_format, sizeof(image->backing_format), "raw");
    }
    return true;
}

static bool qed_open(struct image *image, struct error *error)
{
    struct qed_header *header;
    uint8_t head[QED_HEADER_LEN];
    RETURN_IF_FAILED(format_open_read(image, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*header), (void **)&header, error));
    RETURN_IF_FAILED(qed_header_parse((struct span){head, sizeof(head)}, image->file->len, header, error));
    RETURN_IF_FAILED(open_backing_name(image, header, error));
    image->cluster_len = header->cluster_len;
    image->has_dirty_flag = true;
    return format_open_set_len(image, header->image_len, error);
}

/* Where the L2 table is that has `voff`: QED_ENTRY_NONE, or an offset that was checked. */
static bool find_l2(struct image *image, uint64_t l1_index, uint64_t *ret_off, struct error *error)
{
    const struct qed_header *header = qed_header_of(image);
    struct block_table l1 = qed_table(image, header->l1_off);
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &l1, l1_index, ret_off, error));
    if (*ret_off != QED_ENTRY_NONE && !qed_is_table(header, *ret_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the offset of L2 table %llu is invalid (0x%llx)",
                         (unsigned long long)l1_index, (unsigned long long)*ret_off);
    }
    return true;
}

/* The extent by a run of entries of an L2 table: at most `len` bytes, within the table. */
static bool map_table(struct image *image, uint64_t l2_off, uint64_t len, struct extent *extent, struct error *error)
{
    const struct qed_header *header = qed_header_of(image);
    struct cache *cache = image->environment->cache;
    struct block_table l2 = qed_table(image, l2_off);
    uint64_t in_cluster = extent->voff % header->cluster_len;
    uint64_t index = extent->voff >> header->cluster_bits & (l2.count - 1);
    uint64_t count_max = (in_cluster + len - 1) / header->cluster_len + 1;
    uint64_t entry, count;
    RETURN_IF_FAILED(block_table_run(cache, &l2, index, count_max, header->cluster_len, &entry, &count, error));
    if (entry == QED_ENTRY_NONE || entry == QED_ENTRY_ZERO) {
        RETURN_IF_FAILED(block_table_run(cache, &l2, index, count_max, 0, &entry, &count, error));
        extent->kind = entry == QED_ENTRY_ZERO ? EXTENT_ZERO : EXTENT_UNALLOCATED;
    } else if (qed_is_cluster(header, entry)) {
        count = min_u64(count, (header->file_len - entry) / header->cluster_len); /* the next one is not in the file */
        extent->kind = EXTENT_DATA;
        extent->has_file_off = true;
        extent->file = image->file;
        extent->file_off = entry + in_cluster;
    } else {
        return error_set(error, ERROR_MALFORMED, NULL, "the offset of the cluster at %llu is invalid (0x%llx)",
                         (unsigned long long)extent->voff, (unsigned long long)entry);
    }
    extent->len = min_u64(len, count * header->cluster_len - in_cluster);
    return true;
}

static bool qed_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct qed_header *header = qed_header_of(image);
    uint32_t l1_bits = header->cluster_bits + header->entry_bits; /* 26 + 27 at most */
    struct extent extent = {.voff = voff, .kind = EXTENT_UNALLOCATED};
    uint64_t l2_off;
    RETURN_IF_FAILED(find_l2(image, voff >> l1_bits, &l2_off, error));
    uint64_t part_len = min_u64(len, (1ull << l1_bits) - (voff & ((1ull << l1_bits) - 1)));
    extent.len = part_len;
    if (l2_off != QED_ENTRY_NONE) {
        RETURN_IF_FAILED(map_table(image, l2_off, part_len, &extent, error));
    }
    *ret_extent = extent;
    return true;
}

static bool qed_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    const struct qed_header *header = qed_header_of(image);
    uint32_t l1_bits = header->cluster_bits + header->entry_bits;
    uint64_t l2_off;
    RETURN_IF_FAILED(find_l2(image, voff >> l1_bits, &l2_off, error));
    *ret_stretch = (struct table_stretch){1ull << l1_bits, l2_off != QED_ENTRY_NONE ? l2_off : TABLE_NONE};
    return true;
}

const struct format qed_format = {
    .name = "qed",
    .takes_backing = true,
    .probe = qed_probe,
    .open = qed_open,
    .map = qed_map,
    .table_at = qed_table_at,
    .check = qed_check,
    .repair = qed_repair,
    .create = qed_create,
    .open_target = qed_open_target,
    .resize = qed_resize,
};
