/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image is said to be is changed, but not its disk: version, features, width of reference counts, names. Each
 * step leaves a sound image, and becomes valid by one write of the header's first sector or cluster; what it needs is
 * written to clusters that nobody uses before.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_AMEND_H
#define INSTAR_GUEST_FORMATS_QCOW2_CHANGE_QCOW2_AMEND_H

#include "guest/formats/qcow2/change/qcow2_change.h"

/* format.amend (qcow2_amend.c) */
bool qcow2_amend(struct image *image, const struct amend_plan *plan, struct error *error);

/* How far the amendment is, by steps that take as long as each other. */
struct qcow2_amend_steps {
    const struct amend_plan *plan;
    uint32_t done_count;
    uint32_t count;
};

/* Of the current step, `done` of `total` are done; not 0. */
static inline void qcow2_amend_tell(const struct qcow2_amend_steps *steps, uint64_t done, uint64_t total)
{
    if (steps->plan->tell != NULL) {
        steps->plan->tell(steps->plan->tell_context, steps->done_count * total + done, steps->count * total);
    }
}

/* Reference counts of another width (qcow2_refcount_width.c). */

/* Whether all counts fit; refused in qemu-img's words. */
MUST_CHECK bool qcow2_check_refcount_width(struct qcow2_modify *modify, uint32_t order, struct error *error);
/*
 * A new refcount table with new blocks, of counts of 1 << order bits, behind all that is used; the old ones are
 * released when the header leads to the new ones. Nothing is reserved.
 */
MUST_CHECK bool qcow2_change_refcount_width(struct qcow2_modify *modify, uint32_t order,
                                            const struct qcow2_amend_steps *steps, struct error *error);

/* Tables of the disk and of its snapshots, which version 2 can be told about (qcow2_expand_zeros.c). */

/* Whether there is a compressed cluster. */
MUST_CHECK bool qcow2_find_compressed(struct qcow2_modify *modify, bool *ret_has, struct error *error);
/*
 * Clusters that read as zeros by a flag of their entry become clusters of zeros, or unallocated where nothing is behind
 * the image. Entries change where they are: whether one has changed or not makes no difference to who reads.
 */
MUST_CHECK bool qcow2_expand_zeros(struct qcow2_modify *modify, const struct qcow2_amend_steps *steps,
                                   struct error *error);

/* The bits of a bitmap that the header leads to no more are released (qcow2_bitmap_change.c). */
MUST_CHECK bool qcow2_release_bitmap(struct qcow2_modify *modify, const struct image_bitmap *bitmap,
                                     struct error *error);

#endif
