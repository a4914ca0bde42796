/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a qcow2 image: do the refcounts that the image stores fit the references that it has?
 *
 * References are counted in windows of the file (qcow2_counters.h): for each window all metadata is read again, so that
 * memory does not grow with the image. One window is enough for tens of millions of clusters. What is wrong with the
 * metadata itself is told in the first of these passes. What counts as wrong, as a leak, as a failure of the check,
 * and in which words, is as in qemu-img; so are the numbers, down to the arithmetic of offsets that make no sense.
 *
 * The order: count all references of a window, compare; after the last window, look at the flag QCOW2_COPIED of all
 * active entries.
 *
 * What repairs the image (repair/) goes through the same steps, and gives them functions that write
 * (qcow2_check_repair).
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_CHECK_QCOW2_CHECK_H
#define INSTAR_GUEST_FORMATS_QCOW2_CHECK_QCOW2_CHECK_H

#include "guest/formats/qcow2/layout/qcow2_counters.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"
#include "guest/image/finding.h"

struct qcow2_check;

enum qcow2_check_table {
    QCOW2_CHECK_L1,
    QCOW2_CHECK_L2, /* the disk's, or a snapshot's */
};

/* What a check may do besides telling. Each function waits. */
struct qcow2_check_repair {
    bool fixes_leaks;
    bool fixes_errors;
    /* Whether the bytes belong to nothing but tables of this kind, so that an entry of theirs may be changed. */
    bool (*may_change)(struct qcow2_check *check, enum qcow2_check_table table, uint64_t off, uint64_t len,
                       bool *ret_may, struct error *error);
    /* `data` is arena memory, aligned to 512; off and len are multiples of 512. */
    bool (*write)(struct qcow2_check *check, uint64_t off, const void *data, uint64_t len, struct error *error);
    /* A few bytes within a sector. */
    bool (*store)(struct qcow2_check *check, uint64_t off, const void *data, uint32_t len, struct error *error);
};

/* Stored counts that are not what is referenced. */
struct qcow2_mismatches {
    uint64_t leaks;
    uint64_t corruptions;
    uint64_t check_errors; /* counts that cannot be read */
};

struct qcow2_check {
    struct image *image;
    const struct qcow2_check_repair *repair; /* of the step that runs; NULL: it only tells */
    const struct qcow2_header *header;
    const struct qcow2_extensions *extensions;
    instar_CheckMessage *result;
    struct findings findings;
    bool is_first_pass;  /* then what is wrong with metadata is told and counted */
    bool is_recount;     /* what counting finds has been told */
    bool repairs_counts; /* what is compared is repaired, too */

    uint64_t file_len;             /* bytes, whole sectors, as QEMU counts */
    uint64_t cluster_count;        /* of the file; one more when a reference goes that far */
    uint64_t referenced_end;       /* the first cluster behind all references, of any window */
    uint64_t highest_cluster;      /* that is in use, or said to be */
    uint64_t snapshots_len;        /* bytes of the snapshot table */
    bool has_unreadable_blocks;    /* entries of the refcount table lead nowhere */
    bool must_rebuild;             /* refcounts cannot be repaired where they are */
    bool leaves_refcounts_out;     /* the refcount table and its blocks count as nobody's, as they are to be replaced */
    uint64_t snapshot_corruptions; /* incomplete entries of the snapshot table; among the result's corruptions */
    struct qcow2_mismatches mismatches;
    struct qcow2_counters counters;

    uint8_t *buffer; /* for tables */
    uint64_t buffer_len;
};

/* format.check */
bool qcow2_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

/*
 * The steps of qcow2_check. Begin: what is known before anything is counted, and memory, which the image keeps for its
 * next check. Incomplete entries of the snapshot table are told as being repaired where `repair` fixes errors.
 */
MUST_CHECK bool qcow2_check_begin(struct image *image, uint32_t findings_max, const struct qcow2_check_repair *repair,
                                  instar_CheckMessage *ret_result, struct qcow2_check *ret_check, struct error *error);
/*
 * Counts in all windows of the file, and compares: fills in `mismatches`. `is_recount`: what counting finds has been
 * told. Where the counters have all of the file, it is not counted again then.
 */
MUST_CHECK bool qcow2_check_windows(struct qcow2_check *check, bool is_recount, struct error *error);
/* Whether the counters' window is all of the file. */
static inline bool qcow2_check_has_all(const struct qcow2_check *check)
{
    return check->counters.first == 0 && check->counters.count >= check->cluster_count;
}
/* The mismatches become a part of the result. */
void qcow2_check_take_mismatches(struct qcow2_check *check);
void qcow2_check_end(struct qcow2_check *check);
/* The file has another length. */
MUST_CHECK bool qcow2_check_measure(struct qcow2_check *check, struct error *error);

/* Something is wrong with the metadata itself, which the first pass tells. */
void qcow2_check_corruption(struct qcow2_check *check, const char *format, ...) PRINTF_LIKE(2, 3);

/* The check cannot go on, for the reason that qemu-img gives. False. */
#define check_failed(error, reason) error_set(error, ERROR_MALFORMED, NULL, "Check failed: " reason)

/* Memory for a stream of L2 tables: where they are changed, none is read ahead, as it may be the same one. */
static inline uint64_t qcow2_check_stream_len(const struct qcow2_check *check, bool changes_tables)
{
    return changes_tables ? QCOW2_L2_STREAM_L1_LEN + check->header->cluster_len : check->buffer_len;
}

/* qcow2_check_references.c: counts all references to clusters of the window. */
MUST_CHECK bool qcow2_check_count(struct qcow2_check *check, struct error *error);
/* Something is wrong with what is counted: told and counted, but not twice. */
void qcow2_check_miscount(struct qcow2_check *check, const char *format, ...) PRINTF_LIKE(2, 3);
static inline bool qcow2_check_repairs_errors(const struct qcow2_check *check)
{
    return check->repair != NULL && check->repair->fixes_errors && check->is_first_pass;
}
/* Counts one reference. */
void qcow2_check_count_cluster(struct qcow2_check *check, uint64_t cluster);
/* Counts a reference to every cluster that has bytes of the range. */
MUST_CHECK bool qcow2_check_count_range(struct qcow2_check *check, uint64_t off, uint64_t len, struct error *error);

/* qcow2_check_tables.c: L1 tables, and the L2 tables that they lead to. */
MUST_CHECK bool qcow2_check_count_l1(struct qcow2_check *check, uint64_t l1_off, uint64_t entry_count, bool is_active,
                                     struct error *error);

/* qcow2_check_snapshots.c */
/* Whether the snapshot table can be read at all, and how long it is: before all else. */
MUST_CHECK bool qcow2_check_read_snapshots(struct qcow2_check *check, struct error *error);
MUST_CHECK bool qcow2_check_count_snapshots(struct qcow2_check *check, struct error *error);

/* qcow2_check_bitmaps.c */
MUST_CHECK bool qcow2_check_count_bitmaps(struct qcow2_check *check, struct error *error);

/* qcow2_check_refcounts.c */
/* Counts the refcount blocks, the last of all references. */
MUST_CHECK bool qcow2_check_count_blocks(struct qcow2_check *check, struct error *error);
/* Compares the window's counts with the stored ones. */
MUST_CHECK bool qcow2_check_compare(struct qcow2_check *check, struct error *error);

/* qcow2_check_copied.c: whether the flag QCOW2_COPIED of active entries says what the stored refcounts say. */
MUST_CHECK bool qcow2_check_copied(struct qcow2_check *check, struct error *error);

#endif
