/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The repair of an image: a check (check/) that sets right what it finds wrong.
 *
 *   - Stored reference counts become what is counted, in the blocks where they are: that is right for a count whether
 *     or not the next one has been written, so the job may end at any moment. Flags (QCOW2_COPIED) follow, when the
 *     counts are on stable storage; an entry that lacks its flag meanwhile costs a copy, and no data.
 *   - Where blocks or the table of counts cannot be used, all of them are written anew to clusters that nobody refers
 *     to (qcow2_rebuild.c), and become valid, all at once, by one write of the header.
 *   - Data is never written, and of what leads to data only entries whose offset makes no sense and that read as zeros.
 *   - The marks "dirty" and "corrupt" go last, and only when nothing is left that is wrong.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_REPAIR_QCOW2_REPAIR_H
#define INSTAR_GUEST_FORMATS_QCOW2_REPAIR_QCOW2_REPAIR_H

#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/modify/qcow2_overlap.h"
#include "guest/image/write/target.h"

/* Large: make it static. */
struct qcow2_repair {
    struct qcow2_check check; /* first */
    struct qcow2_check_repair operations;
    struct qcow2 *qcow2;
    struct target target; /* for its requests */
    uint8_t *sector;      /* a page of arena memory */
    bool has_overlap;
    struct qcow2_overlap overlap; /* if has_overlap */
    bool has_counts;              /* the stored counts are what is referenced */
    uint64_t lookups_left;        /* entries of L1 tables that may still be looked at to find out who has a table */
};

/* format.repair */
bool qcow2_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                  struct error *error);

/* How the image is written to (qcow2_repair_write.c): through the cache, one write after the other. */

MUST_CHECK bool qcow2_repair_begin_writing(struct qcow2_repair *repair, struct image *image, struct error *error);
/* `data` is arena memory, aligned to 512; off and len are multiples of 512. */
MUST_CHECK bool qcow2_repair_write(struct qcow2_repair *repair, uint64_t off, const void *data, uint64_t len,
                                   struct error *error);
/* A few bytes within a sector; what is around them stays. */
MUST_CHECK bool qcow2_repair_store(struct qcow2_repair *repair, uint64_t off, const void *data, uint32_t len,
                                   struct error *error);
MUST_CHECK bool qcow2_repair_store_be64(struct qcow2_repair *repair, uint64_t off, uint64_t value, struct error *error);
MUST_CHECK bool qcow2_repair_flush(struct qcow2_repair *repair, struct error *error);
/* The functions of struct qcow2_check_repair. */
bool qcow2_repair_may_change(struct qcow2_check *check, enum qcow2_check_table table, uint64_t off, uint64_t len,
                             bool *ret_may, struct error *error);
bool qcow2_repair_check_write(struct qcow2_check *check, uint64_t off, const void *data, uint64_t len,
                              struct error *error);
bool qcow2_repair_check_store(struct qcow2_check *check, uint64_t off, const void *data, uint32_t len,
                              struct error *error);

/*
 * All reference counts anew (qcow2_rebuild.c), after counting: the header leads to them, and the ones before are
 * nobody's. QEMU chooses the same places: for each block, in their order, the first free cluster from its own range on;
 * then for the table the first ones from the start of the file.
 */
MUST_CHECK bool qcow2_rebuild(struct qcow2_repair *repair, struct error *error);

/* Takes all bitmaps away if they cannot be read (qcow2_repair_bitmaps.c), and tells of it. */
MUST_CHECK bool qcow2_repair_bitmaps(struct qcow2_repair *repair, struct error *error);

#endif
