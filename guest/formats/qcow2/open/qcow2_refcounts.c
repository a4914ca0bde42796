/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

bool qcow2_refcount_block(struct image *image, uint64_t index, enum qcow2_refcount_block_kind *ret_kind,
                          uint64_t *ret_off, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint64_t entry = 0;
    if (index < qcow2_refcount_table_len(header) / sizeof(struct be64)) {
        RETURN_IF_FAILED(cache_read_be64(image->environment->cache, image->file,
                                         header->refcount_table_off + index * sizeof(struct be64), &entry, error));
    }
    uint64_t off = entry & QCOW2_REFCOUNT_OFFSET_MASK;
    if (off == 0) {
        *ret_kind = QCOW2_REFCOUNTS_ZERO;
    } else if ((off & (header->cluster_len - 1)) != 0 || off > FILE_END_MAX - header->cluster_len) {
        *ret_kind = QCOW2_REFCOUNTS_UNREADABLE;
    } else {
        *ret_kind = QCOW2_REFCOUNTS_STORED;
    }
    *ret_off = off;
    return true;
}

bool qcow2_refcount_of(struct image *image, uint64_t cluster, uint64_t *ret_count, bool *ret_is_known,
                       struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint32_t block_bits = qcow2_refcount_block_bits(header);
    enum qcow2_refcount_block_kind kind;
    uint64_t block_off;
    uint64_t count = 0;
    RETURN_IF_FAILED(qcow2_refcount_block(image, cluster >> block_bits, &kind, &block_off, error));
    if (kind == QCOW2_REFCOUNTS_STORED) {
        uint64_t index = cluster & ((1ull << block_bits) - 1);
        uint64_t word_off = (index << header->refcount_order) / 64 * sizeof(uint64_t); /* with the count in it */
        uint64_t word_first = word_off * 8 >> header->refcount_order;
        uint8_t word[sizeof(uint64_t)];
        RETURN_IF_FAILED(
            cache_read(image->environment->cache, image->file, block_off + word_off, word, sizeof(word), error));
        count = qcow2_refcount_get(word, header->refcount_order, index - word_first);
    }
    *ret_count = count;
    *ret_is_known = kind != QCOW2_REFCOUNTS_UNREADABLE;
    return true;
}
