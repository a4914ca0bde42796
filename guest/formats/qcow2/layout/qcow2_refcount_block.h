/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a refcount block (qcow2.txt, "Host cluster management"): counters of 1 to 64 bits. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_REFCOUNT_BLOCK_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_REFCOUNT_BLOCK_H

#include <string.h>

#include "base/endian.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"

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

/* The highest number that a count can have. */
static inline uint64_t qcow2_refcount_max(uint32_t order)
{
    return UINT64_MAX >> (64 - (1u << order));
}

/* Changes one; `value` is qcow2_refcount_max at most. */
static inline void qcow2_refcount_set(uint8_t *block, uint32_t order, uint64_t index, uint64_t value)
{
    if (order < 3) {
        uint32_t bits = 1u << order;
        uint32_t shift = (uint32_t)(index & ((8u >> order) - 1)) * bits;
        uint8_t *byte = &block[index >> (3 - order)];
        *byte = (uint8_t)((*byte & ~(((1u << bits) - 1) << shift)) | (uint32_t)value << shift);
        return;
    }
    uint32_t len = 1u << (order - 3);
    struct be64 word = be64_make(value);
    memcpy(block + index * len, word.b + sizeof(word) - len, len);
}

#endif
