/* SPDX-License-Identifier: Apache-2.0 */
/* The content of an image that exists, as a target (guest/image/write/target.h). */
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/modify/qcow2_header_change.h"

static bool target_flush(struct target *target, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    return qcow2_modify_flush(modify, error);
}

bool qcow2_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static const struct target_operations operations = {
        .write = qcow2_modify_disk_write,
        .copy = qcow2_modify_disk_copy,
        .zero = qcow2_modify_disk_zero,
        .begin_compression = qcow2_modify_begin_compression,
        .begin_streams = qcow2_modify_begin_streams,
        .write_compressed = qcow2_modify_write_compressed,
        .compress = qcow2_modify_compress,
        .begin_bitmaps = qcow2_modify_begin_bitmaps,
        .add_bitmaps = qcow2_modify_add_bitmaps,
        .finish = qcow2_modify_finish,
        .make_empty = qcow2_make_empty,
        .abandon = qcow2_modify_abandon,
        .set_backing = qcow2_change_backing,
        .flush = target_flush,
    };
    struct qcow2_modify *modify;
    RETURN_IF_FAILED(qcow2_modify_open(image, &modify, error));
    modify->target.operations = &operations;
    *ret_target = &modify->target;
    return true;
}
