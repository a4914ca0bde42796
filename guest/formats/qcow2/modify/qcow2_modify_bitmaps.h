/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that an image gets, and the directory of them. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_BITMAPS_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_BITMAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/qcow2/write/qcow2_bitmap_store.h"
#include "guest/image/write/target.h"

struct qcow2_modify;

/* Takes clusters of the image, and writes to them. */
struct qcow2_bitmap_store qcow2_modify_bitmap_store(struct qcow2_modify *modify);
/* Whether the header has room to lead to a directory. */
MUST_CHECK bool qcow2_modify_check_directory(struct qcow2_modify *modify, struct error *error);
/*
 * The header leads to this directory from now on, by one write of its cluster, which waits for all that was written
 * before; `count` 0: there are no bitmaps. The old directory is released; what only it has led to is not.
 */
MUST_CHECK bool qcow2_modify_set_directory(struct qcow2_modify *modify, uint32_t count, uint64_t off, uint64_t len,
                                           struct error *error);

/* The target's operations. */
bool qcow2_modify_begin_bitmaps(struct target *target, struct image *source, struct error *error);
bool qcow2_modify_add_bitmaps(struct target *target, struct image *source, struct error *error);

#endif
