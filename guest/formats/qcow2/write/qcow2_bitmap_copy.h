/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps of another image, which the image that is written gets, too (qcow2_bitmap_store.h). The directory has what
 * the image had before, then the new ones; nobody refers to it before everything is written.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_COPY_H
#define INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_BITMAP_COPY_H

#include "guest/formats/qcow2/write/qcow2_bitmap_store.h"

struct qcow2_bitmap_copy {
    struct qcow2_bitmap_store store; /* of who writes the image */
    struct image *existing;          /* whose bitmaps come first; NULL: the image is new */

    uint32_t count;         /* bitmaps that the image will have; 0: nothing is copied */
    uint64_t directory_len; /* bytes, of all of them */
    uint64_t cluster_count; /* that they take at most */
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
