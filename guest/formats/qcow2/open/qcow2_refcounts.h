/* SPDX-License-Identifier: Apache-2.0 */
/* Stored reference counts: the refcount table, and blocks of counts (qcow2.txt, "Host cluster management"). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_REFCOUNTS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_REFCOUNTS_H

#include "guest/formats/qcow2/layout/qcow2_refcount_block.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

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
