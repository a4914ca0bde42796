/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preallocated metadata: clusters that are allocated, but that the file has no storage for, so that they read as zeros.
 * It is worth asking the file about holes only if there are such clusters. QEMU's rule, and so ours: the clusters in
 * use by their reference counts are more by a ninth, and by two, than those that the file's storage is enough for.
 */
#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/qcow2/open/qcow2_map.h"

/* Bytes of reference counts that are looked at. As 16-bit counts of clusters of 64 KiB: a file of 8 TiB. */
#define SCANNED_LEN_MAX (256ull << 20)

/* How many counts of `width` bits in a word are not 0. */
static uint32_t count_used(uint64_t word, uint32_t width)
{
    if (word == 0) {
        return 0;
    }
    uint32_t count = 0;
    uint64_t mask = width == 64 ? UINT64_MAX : (1ull << width) - 1;
    for (uint32_t shift = 0; shift < 64; shift += width) {
        count += (word >> shift & mask) != 0;
    }
    return count;
}

/* Counts what is used in a refcount block, as far as it is in view. */
static uint64_t count_in_view(struct span view, uint32_t width)
{
    uint64_t count = 0;
    struct be64 word;
    for (uint64_t off = 0; span_copy(view, off, &word, sizeof(word)); off += sizeof(word)) {
        count += count_used(be64_get(word), width);
    }
    return count;
}

/* Adds the clusters in use of the refcount block at block_off; stops at the threshold. `len`: bytes to look at. */
static bool count_in_block(struct image *image, uint64_t block_off, uint64_t len, uint64_t threshold, uint64_t *used,
                           struct error *error)
{
    uint32_t width = 1u << qcow2_of(image)->header.refcount_order;
    while (len > 0 && *used < threshold) { /* ends: views are not empty */
        struct span view;
        RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, block_off, len, &view, error));
        *used += count_in_view(view, width);
        block_off += view.len;
        len -= view.len;
    }
    return true;
}

/* Whether `threshold` clusters of the first `cluster_count` of the file are in use. Damage counts as no. */
static bool has_used_clusters(struct image *image, uint64_t cluster_count, uint64_t threshold, bool *ret_has,
                              struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint32_t block_bits = header->cluster_bits + 3 - header->refcount_order; /* counts in a block, 2 to this power */
    uint64_t table_count = min_u64(qcow2_refcount_table_len(header) / 8,
                                   (cluster_count >> block_bits) + ((cluster_count & ((1ull << block_bits) - 1)) != 0));
    uint64_t used = 0;
    uint64_t budget_len = SCANNED_LEN_MAX;
    *ret_has = false;
    for (uint64_t i = 0; i < table_count && used < threshold; i++) { /* the table has 8 MiB at most */
        uint64_t entry;
        RETURN_IF_FAILED(
            cache_read_be64(image->environment->cache, image->file, header->refcount_table_off + i * 8, &entry, error));
        uint64_t block_off = entry & QCOW2_REFCOUNT_OFFSET_MASK;
        if (block_off == 0) {
            continue;
        }
        if (block_off % header->cluster_len != 0 || block_off > INT64_MAX || budget_len < header->cluster_len) {
            return true;
        }
        budget_len -= header->cluster_len;
        RETURN_IF_FAILED(count_in_block(image, block_off, header->cluster_len, threshold, &used, error));
    }
    *ret_has = used >= threshold;
    return true;
}

static bool detect(struct image *image)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    const struct file *file = image->file;
    if (file->allocated_len == UINT64_MAX) {
        return false;
    }
    uint64_t stored_clusters = file->allocated_len >> header->cluster_bits;
    uint64_t threshold = max_u64(stored_clusters / 9 * 10 + stored_clusters % 9 * 10 / 9, stored_clusters + 2);
    uint64_t cluster_count =
        (file->len >> header->cluster_bits) + ((file->len & (header->cluster_len - 1)) != 0 ? 1 : 0);
    struct error ignored = {0}; /* unknown is as good as no */
    bool has = false;
    /* Most files have not even so many clusters. */
    return cluster_count >= threshold && has_used_clusters(image, cluster_count, threshold, &has, &ignored) && has;
}

bool qcow2_has_preallocated_metadata(struct image *image)
{
    struct qcow2 *qcow2 = qcow2_of(image);
    if (!qcow2->is_preallocation_known) {
        qcow2->has_preallocated_metadata = detect(image);
        qcow2->is_preallocation_known = true;
    }
    return qcow2->has_preallocated_metadata;
}
