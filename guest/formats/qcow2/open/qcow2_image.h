/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of an open image. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_IMAGE_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_IMAGE_H

#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"
#include "guest/formats/qcow2/open/qcow2_extensions.h"
#include "guest/image/image.h"

/* An L1 table: the active one, or a snapshot's. */
struct qcow2_l1 {
    uint64_t off;         /* bytes in the image file, a multiple of the cluster's length */
    uint32_t entry_count; /* clusters of the disk behind its last entry are unallocated */
};

/* What a check takes once, and the next one of the image uses again. */
struct qcow2_check_memory {
    uint8_t *buffer; /* NULL: not taken yet */
    void *counters;
    uint64_t counters_len; /* bytes */
};

/* The state of an image (image->state). */
struct qcow2 {
    struct qcow2_header header;         /* checked */
    struct qcow2_extensions extensions; /* checked */
    struct qcow2_l1 l1;                 /* that map goes by: the active one until a snapshot is selected */
    struct file *data_file;             /* of guest clusters: image->file, or the external one; NULL: not opened */
    /* The last L2 table that map looked for: most calls are about the same one. */
    bool l2_off_is_known;
    uint64_t l2_index;              /* in the L1 table */
    uint64_t l2_off;                /* bytes in the file; 0: none */
    bool is_preallocation_known;    /* has_preallocated_metadata tells; found out when map needs it first */
    bool has_preallocated_metadata; /* clusters are allocated that the file has no storage for */
    struct qcow2_check_memory check_memory;
    struct image_shard shard; /* where image->shard leads to it */
};

static inline struct qcow2 *qcow2_of(const struct image *image)
{
    return image->state;
}

/* Entries of L1 and L2 tables, and of the refcount table. */
#define QCOW2_L1_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_L1_RESERVED_MASK 0x7f000000000001ffull
#define QCOW2_L2_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_L2_RESERVED_MASK 0x3f000000000001feull
#define QCOW2_L2_ZERO (1ull << 0)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_REFCOUNT_OFFSET_MASK 0xfffffffffffffe00ull
#define QCOW2_REFCOUNT_RESERVED_MASK 0x00000000000001ffull

/* How many bits of an L2 entry tell where a compressed cluster's stream is ("Compressed Clusters Descriptor"). */
static inline uint32_t qcow2_compressed_off_bits(uint32_t cluster_bits)
{
    return 62 - (cluster_bits - 8);
}

/* The L2 entry of a stream. */
static inline uint64_t qcow2_compressed_entry(uint32_t cluster_bits, uint64_t off, uint64_t len)
{
    uint64_t more_sectors = (off + len - 1) / SECTOR_LEN - off / SECTOR_LEN;
    return QCOW2_COMPRESSED | more_sectors << qcow2_compressed_off_bits(cluster_bits) | off;
}

/* Where the stream of a compressed cluster lies, from its L2 entry; `len` goes to the end of its last sector. */
static inline void qcow2_compressed_range(const struct qcow2_header *header, uint64_t l2_entry, uint64_t *ret_off,
                                          uint64_t *ret_len)
{
    uint32_t off_bits = qcow2_compressed_off_bits(header->cluster_bits);
    uint64_t off = l2_entry & ((1ull << off_bits) - 1);
    uint64_t more_sectors = (l2_entry >> off_bits) & ((1ull << (header->cluster_bits - 8)) - 1);
    *ret_off = off;
    *ret_len = (more_sectors + 1) * 512 - (off & 511);
}

#endif
