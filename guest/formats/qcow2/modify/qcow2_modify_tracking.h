/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that track changes: they have a bit for all that changes on the disk, or say that they are inconsistent. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_TRACKING_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_TRACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/endian.h"
#include "base/error.h"
#include "guest/formats/qcow2/layout/qcow2_dirty_ranges.h"

struct qcow2_modify;

struct qcow2_tracking {
    bool has_any;        /* bitmaps that are kept up to date */
    uint8_t *is_kept;    /* a bit for each bitmap of the directory */
    uint32_t told_count; /* of warnings */
    struct qcow2_dirty_ranges changes;
    struct be64 *table; /* QCOW2_STORE_LEN_MAX bytes; NULL: there is no memory yet */
};

/* Before the first change: they are in use from now on. */
MUST_CHECK bool qcow2_modify_track_begin(struct qcow2_modify *modify, struct error *error);
/* After qcow2_modify_begin: these bytes of the disk are changed. */
void qcow2_modify_note(struct qcow2_modify *modify, uint64_t voff, uint64_t len);
/*
 * After a checkpoint, and the last change: they have bits for all of it, and are no longer in use. Warns of those that
 * the image makes impossible to keep, which stay in use.
 */
MUST_CHECK bool qcow2_modify_track_end(struct qcow2_modify *modify, struct error *error);

#endif
