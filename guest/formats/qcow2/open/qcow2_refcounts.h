/* SPDX-License-Identifier: Apache-2.0 */
/* Stored reference counts: the refcount table, and blocks of counts (qcow2.txt, "Host cluster management"). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_REFCOUNTS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_REFCOUNTS_H

#include "base/endian.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

/* Counts in a block, which is one cluster: 1 << qcow2_refcount_block_bits(header). */
static inline uint32_t qcow2_refcount_block_bits(const struct qcow2_header *header)
{
    return header->cluster_bits + 3 - header->refcount_order;
}

/* A count of a block, whose counts have 1 << order bits; `index` is within the block. */
static inline uint64_t qcow2_refcount_get(const void *block, uint32_t order, uint64_t index)
{
    const uint8_t *bytes = block;
    switch (order) {
    case 4:
        return be16_get(((const struct be16 *)block)[index]);
    case 5:
        return be32_get(((const struct be32 *)block)[index]);
    case 6:
        return be64_get(((const struct be64 *)block)[index]);
    case 3:
        return bytes[index];
    default: { /* several counts in a byte, the first one in the lowest bits */
        uint32_t bits = 1u << order;
        uint32_t shift = (uint32_t)(index & ((8u >> order) - 1)) * bits;
        return (uint32_t)(bytes[index >> (3 - order)] >> shift) & ((1u << bits) - 1);
    }
    }
}

enum qcow2_refcount_block_kind {
    QCOW2_REFCOUNTS_ZERO,       /* there is no block: all of its counts are 0 */
    QCOW2_REFCOUNTS_STORED,     /* at an offset of the file */
    QCOW2_REFCOUNTS_UNREADABLE, /* the table's entry makes no sense */
};

/* What the refcount table says about block number `index`, which may be behind its end. */
MUST_CHECK bool qcow2_refcount_block(struct image *image, uint64_t index, enum qcow2_refcount_block_kind *ret_kind,
                                     uint64_t *ret_off, struct error *error);

/* The count of one cluster. *ret_is_known is false where its block is unreadable. */
MUST_CHECK bool qcow2_refcount_of(struct image *image, uint64_t cluster, uint64_t *ret_count, bool *ret_is_known,
                                  struct error *error);

#endif
