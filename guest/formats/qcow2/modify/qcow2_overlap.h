/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which clusters of an image have metadata, and whose: what is written to an existing image, or released in it, must
 * not be somebody else's, or a damaged image gets worse. As QEMU's overlap check, for all kinds of metadata.
 *
 * The header and the tables that it names are compared with as they stand in struct qcow2. Of L2 tables, refcount
 * blocks and the tables of snapshots and bitmaps there may be millions: a filter of fixed length (a Bloom filter) knows
 * of each cluster that it is none of them, or may be one; then the tables that lead there are read, and decide. So what
 * is added may stay when it is no metadata any more.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_OVERLAP_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_OVERLAP_H

#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/runtime/arena.h"

/* Kinds of metadata: bits, as several may be meant. */
enum qcow2_area {
    QCOW2_AREA_HEADER = 1 << 0,
    QCOW2_AREA_L1 = 1 << 1,
    QCOW2_AREA_REFCOUNT_TABLE = 1 << 2,
    QCOW2_AREA_SNAPSHOT_TABLE = 1 << 3,
    QCOW2_AREA_BITMAP_DIRECTORY = 1 << 4,
    /* Those that the filter knows. */
    QCOW2_AREA_L2 = 1 << 5,
    QCOW2_AREA_REFCOUNT_BLOCK = 1 << 6,
    QCOW2_AREA_SNAPSHOT = 1 << 7, /* an L1 or L2 table of a snapshot */
    QCOW2_AREA_BITMAP_TABLE = 1 << 8,
};

struct qcow2_overlap {
    struct image *image;
    uint64_t snapshots_len; /* bytes of the snapshot table */
    uint64_t *words;        /* the filter */
    uint64_t bit_count;     /* of it, a power of two */
};

/* Reads all tables of the image that lead to metadata. Takes memory of the arena: 128 KiB to 1 MiB. */
MUST_CHECK bool qcow2_overlap_init(struct qcow2_overlap *overlap, struct image *image, struct error *error);

/* There is such metadata from now on; only of the kinds that the filter knows. */
void qcow2_overlap_add(struct qcow2_overlap *overlap, enum qcow2_area area, uint64_t off, uint64_t len);

/*
 * Whether there is metadata in the clusters of [off, off + len), other than of the kinds in `own` (QCOW2_AREA_*); then
 * *ret_area is which. 0: there is none.
 */
MUST_CHECK bool qcow2_overlap_find(struct qcow2_overlap *overlap, uint64_t off, uint64_t len, uint32_t own,
                                   uint32_t *ret_area, struct error *error);

/* The same as an error, in QEMU's words. */
MUST_CHECK bool qcow2_overlap_check(struct qcow2_overlap *overlap, uint64_t off, uint64_t len, uint32_t own,
                                    struct error *error);

/* Behind all metadata that lies within the file, bytes. */
MUST_CHECK bool qcow2_overlap_end(struct qcow2_overlap *overlap, uint64_t *ret_off, struct error *error);

#endif
