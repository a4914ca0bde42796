/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of an image's metadata that one write of the header makes valid.
 *
 * New tables go to clusters that nobody refers to, and that no reference count tells of: until the header leads to
 * them, the image is what it was. The reference counts come last, as a new refcount table with new blocks, in which the
 * new clusters are used and the old ones are free. So the job may end at any moment: before the header is written
 * nothing has happened, afterwards everything, and in neither case is a cluster leaked.
 *
 * The order of calls: begin, take and write, add what refers to what, write_refcounts, switch.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_SHADOW_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_SHADOW_H

#include "guest/formats/qcow2/modify/qcow2_modify.h"

#define QCOW2_SHADOW_REFERENCE_MAX 12u
/* Of `buffer`, and of `chunks`, bytes. */
#define QCOW2_SHADOW_BUFFER_LEN 65536u
#define QCOW2_SHADOW_CHUNK_LEN 4096u

/* References that come or go: to a stretch of the file, or to what an L1 table leads to. */
struct qcow2_shadow_reference {
    uint64_t off; /* bytes in the file */
    uint64_t len; /* bytes; 0: there is nothing */
    bool is_l1;   /* the stretch is an L1 table, and its L2 tables are meant, too */
    bool is_deep; /* and the clusters that these lead to */
    int32_t change;
};

struct qcow2_shadow {
    struct qcow2_modify *modify;
    uint64_t next;         /* free clusters are looked for from here on */
    uint64_t left;         /* clusters that may still be looked at */
    uint64_t append_first; /* the first cluster behind the image */
    uint64_t append_next;  /* and behind all that were taken there */
    struct qcow2_shadow_reference references[QCOW2_SHADOW_REFERENCE_MAX];
    uint32_t reference_count;
    bool has_lost_some; /* there was no room for a reference: a fault of the caller's */
    struct be64 *table; /* the new refcount table */
    uint64_t table_off;
    uint64_t table_clusters;
    uint64_t old_table_off;
    uint32_t old_table_clusters;
    bool has_counted;  /* qcow2_refcount_of goes by the new counts */
    bool is_switching; /* the header that leads to them may be in the file */
    int32_t *deltas;   /* what is added to the counts of clusters, a window of them at a time */
    uint64_t first;
    uint64_t count;
    uint64_t total; /* clusters that there are counters for, or less */
    uint8_t *buffer;
    uint8_t *chunks[2];
};

MUST_CHECK bool qcow2_shadow_begin(struct qcow2_modify *modify, struct qcow2_shadow *ret_shadow, struct error *error);

/* Clusters in one piece that are nobody's. */
MUST_CHECK bool qcow2_shadow_take(struct qcow2_shadow *shadow, uint64_t count, uint64_t *ret_off, struct error *error);

/* To each cluster of the stretch, `change` references more. */
void qcow2_shadow_add(struct qcow2_shadow *shadow, uint64_t off, uint64_t len, int32_t change);
/* The same of an L1 table, of its L2 tables, and if is_deep, of what they lead to. */
void qcow2_shadow_add_l1(struct qcow2_shadow *shadow, struct qcow2_l1 l1, bool is_deep, int32_t change);

/*
 * Writes the new counts, also of themselves; from now on qcow2_refcount_of goes by them. Nothing is taken any more. An
 * error of the kind ERROR_LIMIT without a place: a count would be too high.
 */
MUST_CHECK bool qcow2_shadow_write_refcounts(struct qcow2_shadow *shadow, struct error *error);

/*
 * Everything written so far becomes valid. Of `header`: the disk's size, L1 table, refcount table and snapshots, which
 * lie in one sector of the file.
 */
MUST_CHECK bool qcow2_shadow_switch(struct qcow2_shadow *shadow, const struct qcow2_header *header,
                                    struct error *error);

/* When one of these has failed, instead of whatever comes next: as qcow2_modify_abandon. */
void qcow2_shadow_abandon(struct qcow2_shadow *shadow);

#endif
