/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the format's table has of changes to an image that exists. Each is put together of the steps of qcow2_modify.h,
 * and leaves a sound image whenever the job ends.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_CHANGE_H
#define INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_CHANGE_H

#include "guest/formats/qcow2/modify/qcow2_modify.h"

/* format.open_target (qcow2_target.c): the disk's content */
bool qcow2_open_target(struct image *image, struct target **ret_target, struct error *error);
/* format.resize (qcow2_resize.c) */
bool qcow2_resize(struct image *image, const struct resize_plan *plan, struct error *error);
/* Whether a table of the length that the format allows leads to a disk of `virtual_len` bytes. */
MUST_CHECK bool qcow2_resize_check_l1(const struct qcow2_modify *modify, uint64_t virtual_len, struct error *error);
/* target_operations.make_empty (qcow2_resize.c) */
bool qcow2_make_empty(struct target *target, struct error *error);
/* format.change_bitmap (qcow2_bitmap_change.c) */
bool qcow2_change_bitmap(struct image *image, const struct bitmap_plan *plan, uint32_t *ret_done_count,
                         struct error *error);
/* Says that a bitmap is inconsistent: false. `name`: name_len bytes. */
bool qcow2_refuse_inconsistent(const uint8_t *name, uint32_t name_len, struct error *error);
/* format.change_snapshots (qcow2_snapshot_change.c) */
bool qcow2_change_snapshots(struct image *image, const struct snapshot_plan *plan, struct error *error);
/* Writes the snapshot table anew, with all known extra data in each entry. For a repair: reference counts are right. */
MUST_CHECK bool qcow2_complete_snapshots(struct image *image, struct error *error);

/*
 * Bitmaps of a disk that gets another length (qcow2_resize_bitmaps.c). In between, those that do not fit it count as in
 * use: whenever the job ends, the image can be opened.
 */
struct qcow2_resize_bitmaps {
    struct qcow2_modify *modify;
    uint64_t new_len;    /* of the disk */
    uint64_t tables_off; /* the tables that some get */
    uint64_t tables_len; /* bytes, of all of them */
    bool has_marked;     /* some count as in use */
    bool is_disk_other;  /* for who resizes: the disk is not, or may not be, what it was */
};

/* Makes the tables, then counts bitmaps as in use: nothing has happened where there is no room. */
MUST_CHECK bool qcow2_resize_bitmaps_begin(struct qcow2_modify *modify, uint64_t new_len,
                                           struct qcow2_resize_bitmaps *ret_bitmaps, struct error *error);
/* The disk has its new length. */
MUST_CHECK bool qcow2_resize_bitmaps_end(struct qcow2_resize_bitmaps *bitmaps, struct error *error);
/* Instead of that, after qcow2_modify_abandon: none is in use any more if the disk is what it was. As far as it works.
 */
void qcow2_resize_bitmaps_undo(struct qcow2_resize_bitmaps *bitmaps);

#endif
