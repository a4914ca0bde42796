/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps of another image, which the image that is written gets, too (qcow2.txt, "Bitmaps"): data, tables and the
 * directory go to it cluster by cluster, so that memory does not depend on how many there are. The directory has what
 * the image had before, then the new ones; nobody refers to it before everything is written.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_COPY_H
#define INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_COPY_H

#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/image/target.h"

struct qcow2_bitmap_copy {
    /* Of who writes the image. */
    struct target *target;
    struct image *existing; /* whose bitmaps come first; NULL: the image is new */
    uint32_t cluster_len;
    /* Clusters in one piece. */
    bool (*allocate)(struct target *target, uint64_t count, uint64_t *ret_off, struct error *error);
    /* Writes a cluster, of which the first `len` bytes are not all zeros; its memory is free afterwards. */
    bool (*write)(struct target *target, uint64_t off, const uint8_t *cluster, uint32_t len, struct error *error);

    uint32_t count;         /* bitmaps that the image will have; 0: nothing is copied */
    uint64_t directory_len; /* bytes, of all of them */
    uint64_t directory_off; /* when it is written */
    uint64_t cluster_count; /* that they take at most */

    uint64_t directory_done; /* bytes */
    uint8_t *data;           /* a cluster each */
    uint8_t *table;
    uint8_t *directory;
};

/*
 * Before anything is written: whether the image can have the source's bitmaps, in QEMU's words, but for those that are
 * inconsistent. Takes memory.
 */
MUST_CHECK bool qcow2_bitmap_copy_begin(struct qcow2_bitmap_copy *copy, struct image *source, struct arena *arena,
                                        struct error *error);

/* Writes them. */
MUST_CHECK bool qcow2_bitmap_copy_run(struct qcow2_bitmap_copy *copy, struct image *source, struct error *error);

#endif
