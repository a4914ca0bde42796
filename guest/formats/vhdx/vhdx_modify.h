/* SPDX-License-Identifier: Apache-2.0 */
/* A VHDX that is changed in place. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_MODIFY_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_MODIFY_H

#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/formats/vhdx/vhdx_log.h"
#include "guest/image/write/block_modify.h"

/* Pages of metadata that one entry of the log has: 128 KiB of data, in a log of 1 MiB at least. */
#define VHDX_BATCH_MAX VHDX_LOG_ENTRY_PAGES_MAX
#define VHDX_BATCH_LEN ((size_t)VHDX_BATCH_MAX * VHDX_LOG_SECTOR_LEN)

struct vhdx_modify {
    struct block_modify blocks; /* first */
    struct vhdx *vhdx;
    uint64_t log_sequence; /* of the last entry */
    uint64_t batch_offs[VHDX_BATCH_MAX];
    uint32_t batch_count;   /* more than 0: the log may have what its pages' places have not yet */
    bool is_header_written; /* one is under way, or has failed */
    uint8_t *batch;         /* VHDX_BATCH_MAX pages */
    uint8_t *log_entry;     /* and a sector more */
};

/* Nothing is looked at; what `next_off` is behind does not matter before the first block is placed. */
MUST_CHECK bool vhdx_modify_make(struct image *image, struct vhdx_modify **ret_modify, struct error *error);

/*
 * What the log says goes to where it says so, and the log is empty then; the image is seen as it is in the file from
 * now on. On stable storage. May be done any number of times.
 */
MUST_CHECK bool vhdx_replay(struct vhdx_modify *modify, struct error *error);

/* A header that counts from now on, in the place of the one that does not (2.2.2.1); stable before and afterwards. */
enum vhdx_header_change {
    VHDX_HEADER_BEGINS, /* somebody writes: other identifiers, and a log */
    VHDX_HEADER_ENDS,   /* the log is empty */
};
MUST_CHECK bool vhdx_write_header(struct vhdx_modify *modify, enum vhdx_header_change change, struct error *error);

#endif
