/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps that go to an image (qcow2.txt, "Bitmaps"): data, tables and a directory, cluster by cluster, so that memory
 * does not depend on how many there are. Nobody refers to any of it: that is who writes the header.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_STORE_H
#define INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_STORE_H

#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/image/write/target.h"

struct qcow2_bitmap_store {
    /* Of who writes the image. */
    struct target *target;
    uint32_t cluster_len;
    /* Clusters in one piece. */
    bool (*allocate)(struct target *target, uint64_t count, uint64_t *ret_off, struct error *error);
    /* Writes a cluster, of which the first `len` bytes are not all zeros; its memory is free afterwards. */
    bool (*write)(struct target *target, uint64_t off, const uint8_t *cluster, uint32_t len, struct error *error);

    uint64_t directory_off;
    uint64_t directory_done; /* bytes */
    uint8_t *data;           /* a cluster each */
    uint8_t *table;
    uint8_t *directory;
};

/* Takes memory. */
MUST_CHECK bool qcow2_bitmap_store_begin(struct qcow2_bitmap_store *store, struct arena *arena, struct error *error);

/* What a bitmap of this disk takes: entries of its table, clusters of that, bytes of its entry of the directory. */
uint64_t qcow2_bitmap_store_entry_count(const struct qcow2_bitmap_store *store, uint32_t granularity_bits);
uint64_t qcow2_bitmap_store_table_clusters(const struct qcow2_bitmap_store *store, uint32_t granularity_bits);
uint64_t qcow2_bitmap_entry_len(uint16_t name_len);

/* Writes a cluster's bytes of bits, from byte `off` of them on. Bits behind the disk's end do not count. */
typedef bool (*qcow2_bitmap_reader)(void *context, uint64_t off, uint8_t *bits, uint32_t len, struct error *error);

/* A bitmap's data and its table. */
MUST_CHECK bool qcow2_bitmap_store_bits(struct qcow2_bitmap_store *store, uint32_t granularity_bits,
                                        qcow2_bitmap_reader read, void *context, uint64_t *ret_table_off,
                                        struct error *error);

/* A directory of `len` bytes, of which the following calls write each a part; after the last one, it ends. */
MUST_CHECK bool qcow2_bitmap_store_directory(struct qcow2_bitmap_store *store, uint64_t len, struct error *error);
/* Entries as they stand in the image's directory: bytes [from, to) of it. */
MUST_CHECK bool qcow2_bitmap_store_old(struct qcow2_bitmap_store *store, struct image *image, uint64_t from,
                                       uint64_t to, struct error *error);
/* A bitmap whose table is at table_off; it is not in use. */
MUST_CHECK bool qcow2_bitmap_store_entry(struct qcow2_bitmap_store *store, const struct image_bitmap *bitmap,
                                         uint64_t table_off, struct error *error);
MUST_CHECK bool qcow2_bitmap_store_end(struct qcow2_bitmap_store *store, struct error *error);

#endif
