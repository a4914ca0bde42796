/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What entries of an image's tables say ("L1 table entry", "L2 table entry", "Extended L2 Entries", "Compressed
 * Clusters Descriptor", "Refcount table entry"). Nothing here is checked: whether an offset is aligned and lies in the
 * file is for who uses it.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_TABLE_ENTRY_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_TABLE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"

#define QCOW2_L1_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_L1_RESERVED_MASK 0x7f000000000001ffull
#define QCOW2_L2_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_L2_RESERVED_MASK 0x3f000000000001feull
#define QCOW2_L2_ZERO (1ull << 0)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_REFCOUNT_OFFSET_MASK 0xfffffffffffffe00ull
#define QCOW2_REFCOUNT_RESERVED_MASK 0x00000000000001ffull
#define QCOW2_SUBCLUSTERS_ALL 0xffffffffu

/* An entry of an L2 table. */
struct qcow2_l2_entry {
    uint64_t descriptor;
    uint64_t bitmap; /* of subclusters; 0 without extended entries */
};

enum qcow2_l2_type {
    QCOW2_L2_NOTHING,   /* unallocated, or zeros without a place */
    QCOW2_L2_ALLOCATED, /* there is a place, for data or for zeros */
    QCOW2_L2_COMPRESSED,
};

static inline bool qcow2_l2_is_compressed(uint64_t descriptor)
{
    return (descriptor & QCOW2_COMPRESSED) != 0;
}

/* Where the cluster is, bytes; 0: nowhere, or at the start of a data file. Of a compressed one it says nothing. */
static inline uint64_t qcow2_l2_off(uint64_t descriptor)
{
    return descriptor & QCOW2_L2_OFFSET_MASK;
}

/* Whether there is a place for the whole cluster. Only in an external data file that can be at 0, as the flag tells. */
static inline bool qcow2_l2_has_place(const struct qcow2_header *header, uint64_t descriptor)
{
    return !qcow2_l2_is_compressed(descriptor) &&
           (qcow2_l2_off(descriptor) != 0 || (qcow2_has_data_file(header) && (descriptor & QCOW2_COPIED) != 0));
}

/* Zeros at the start of a data file have no place, as a check sees it. */
static inline enum qcow2_l2_type qcow2_l2_type_of(const struct qcow2_header *header, uint64_t descriptor)
{
    if (qcow2_l2_is_compressed(descriptor)) {
        return QCOW2_L2_COMPRESSED;
    }
    bool is_zero = (descriptor & QCOW2_L2_ZERO) != 0 && !qcow2_has_extended_l2(header);
    return qcow2_l2_off(descriptor) != 0 || (qcow2_l2_has_place(header, descriptor) && !is_zero) ? QCOW2_L2_ALLOCATED
                                                                                                 : QCOW2_L2_NOTHING;
}

/* Of a bitmap: the subclusters with data, from bit 0 on, and those that read as zeros. A sound one has none twice. */
static inline uint32_t qcow2_l2_bitmap_data(uint64_t bitmap)
{
    return (uint32_t)bitmap;
}

static inline uint32_t qcow2_l2_bitmap_zero(uint64_t bitmap)
{
    return (uint32_t)(bitmap >> QCOW2_SUBCLUSTER_COUNT);
}

static inline uint64_t qcow2_l2_bitmap_make(uint32_t data, uint32_t zero)
{
    return (uint64_t)zero << QCOW2_SUBCLUSTER_COUNT | data;
}

/*
 * A bit for each subcluster that reads as data from the cluster's place, and for each that reads as zeros; all bits,
 * or none, where clusters have no subclusters. What has neither is the backing file's.
 */
static inline uint32_t qcow2_l2_data_bits(const struct qcow2_header *header, struct qcow2_l2_entry entry)
{
    if (!qcow2_l2_has_place(header, entry.descriptor)) {
        return 0;
    }
    if (qcow2_has_extended_l2(header)) {
        return qcow2_l2_bitmap_data(entry.bitmap);
    }
    return (entry.descriptor & QCOW2_L2_ZERO) == 0 ? QCOW2_SUBCLUSTERS_ALL : 0;
}

static inline uint32_t qcow2_l2_zero_bits(const struct qcow2_header *header, struct qcow2_l2_entry entry)
{
    if (qcow2_l2_is_compressed(entry.descriptor)) {
        return 0;
    }
    if (qcow2_has_extended_l2(header)) {
        return qcow2_l2_bitmap_zero(entry.bitmap);
    }
    return (entry.descriptor & QCOW2_L2_ZERO) != 0 ? QCOW2_SUBCLUSTERS_ALL : 0;
}

/* The entry of a cluster without a place that reads as zeros; version 3. */
static inline struct qcow2_l2_entry qcow2_l2_zero_entry(const struct qcow2_header *header)
{
    struct qcow2_l2_entry entry = {0};
    if (qcow2_has_extended_l2(header)) {
        entry.bitmap = qcow2_l2_bitmap_make(0, QCOW2_SUBCLUSTERS_ALL);
    } else {
        entry.descriptor = QCOW2_L2_ZERO;
    }
    return entry;
}

/* How many bits of the descriptor tell where a compressed cluster's stream is. */
static inline uint32_t qcow2_compressed_off_bits(uint32_t cluster_bits)
{
    return 62 - (cluster_bits - 8);
}

/* The descriptor of a stream of `len` bytes at `off`. */
static inline uint64_t qcow2_compressed_entry(uint32_t cluster_bits, uint64_t off, uint64_t len)
{
    uint64_t more_sectors = (off + len - 1) / SECTOR_LEN - off / SECTOR_LEN;
    return QCOW2_COMPRESSED | more_sectors << qcow2_compressed_off_bits(cluster_bits) | off;
}

/* Where the stream of a compressed cluster lies; `len` goes to the end of its last sector. */
static inline void qcow2_compressed_range(const struct qcow2_header *header, uint64_t descriptor, uint64_t *ret_off,
                                          uint64_t *ret_len)
{
    uint32_t off_bits = qcow2_compressed_off_bits(header->cluster_bits);
    uint64_t off = descriptor & ((1ull << off_bits) - 1);
    uint64_t more_sectors = (descriptor >> off_bits) & ((1ull << (header->cluster_bits - 8)) - 1);
    *ret_off = off;
    *ret_len = (more_sectors + 1) * SECTOR_LEN - off % SECTOR_LEN;
}

/* What an entry leads to in a file: a cluster or a stream. *ret_len is 0 where it leads nowhere. */
static inline void qcow2_l2_range(const struct qcow2_header *header, uint64_t descriptor, uint64_t *ret_off,
                                  uint64_t *ret_len)
{
    if (qcow2_l2_is_compressed(descriptor)) {
        qcow2_compressed_range(header, descriptor, ret_off, ret_len);
        return;
    }
    *ret_off = qcow2_l2_off(descriptor);
    *ret_len = qcow2_l2_has_place(header, descriptor) ? header->cluster_len : 0;
}

#endif
