/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of an open image. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_IMAGE_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_IMAGE_H

#include "guest/formats/qcow2/layout/qcow2_header.h"
#include "guest/formats/qcow2/layout/qcow2_table_entry.h"
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

#endif
