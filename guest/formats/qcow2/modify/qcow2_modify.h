/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An existing qcow2 image that is written to, at any place and in any order.
 *
 * Whenever the job ends, also by a crash, the image is sound but for clusters that nobody refers to. Hence the order:
 *
 *   - Clusters are counted as used before anybody gets them: a run of them at a time, the reserve.
 *   - Data goes to its place at once. Entries of L2 tables change in memory, in slices.
 *   - A checkpoint waits for the data, flushes, writes the slices, flushes, and only then takes back the references to
 *     clusters that were replaced. There is one when memory for slices runs out, and at the end.
 *   - New tables are complete in the file before the table or header that leads to them is written.
 *
 * A cluster is written in place when its entry says QCOW2_COPIED: nobody else refers to it. Others get a new place.
 *
 * In a damaged image an entry may lead anywhere. So each write says whose bytes it means to change, and each release
 * what it means to release (`own`, QCOW2_AREA_*; 0: what is no metadata); the clusters of all other metadata are
 * refused (qcow2_overlap.h), before anything is written there.
 *
 * In an external data file every cluster has one place, which is nobody else's and not counted: where it is on the
 * disk. That what is not stored reads as zeros there, too, holds always, and matters to who reads the file alone
 * (data_file_raw).
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_H

#include "base/endian.h"
#include "guest/formats/qcow2/layout/qcow2_dirty_ranges.h"
#include "guest/formats/qcow2/modify/qcow2_modify_bitmaps.h"
#include "guest/formats/qcow2/modify/qcow2_modify_clusters.h"
#include "guest/formats/qcow2/modify/qcow2_modify_disk.h"
#include "guest/formats/qcow2/modify/qcow2_modify_pack.h"
#include "guest/formats/qcow2/modify/qcow2_modify_refcounts.h"
#include "guest/formats/qcow2/modify/qcow2_modify_store.h"
#include "guest/formats/qcow2/modify/qcow2_modify_tables.h"
#include "guest/formats/qcow2/modify/qcow2_modify_tracking.h"
#include "guest/formats/qcow2/modify/qcow2_new_tables.h"
#include "guest/formats/qcow2/modify/qcow2_overlap.h"
#include "guest/formats/qcow2/modify/qcow2_releases.h"
#include "guest/formats/qcow2/modify/qcow2_reserve.h"
#include "guest/formats/qcow2/modify/qcow2_slices.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/formats/qcow2/write/qcow2_bitmap_copy.h"
#include "guest/formats/qcow2/write/qcow2_compress.h"
#include "guest/image/image_read.h"
#include "guest/image/write/target.h"

/* Clusters that one request writes. */
#define QCOW2_RUN_MAX 64u

struct qcow2_modify {
    struct target target; /* first */
    struct image *image;
    uint64_t uncut_len;           /* bytes of the file that stay, whatever fails: what it had when it was opened */
    int64_t counted_behind;       /* clusters behind uncut_len that are counted now, and were not then */
    bool may_count_behind;        /* that number does not tell: refcount blocks are new, or others' clusters went */
    bool is_taking_back;          /* qcow2_modify_take_back: only what this change has taken is given back */
    uint64_t kept_len;            /* and what stays if nothing does: what is written since, too */
    struct qcow2 *qcow2;          /* of the image */
    struct cipher_writer *cipher; /* NULL: not encrypted */
    struct file *data;            /* of the clusters' content: target.file, or the external data file */
    bool is_data_external;
    bool has_begun;      /* qcow2_modify_begin */
    bool keeps_bitmaps;  /* what changes on the disk is nothing that they tell of */
    bool has_odd_blocks; /* the refcount table has entries that make no sense */
    bool is_data_unsafe; /* the external data file has been written to since it was flushed */
    uint32_t cluster_len;
    uint32_t granule_len; /* what an entry can tell about: a cluster, or a subcluster */
    uint64_t l2_span_len; /* bytes of the disk that an L2 table covers */

    struct qcow2_slices slices;
    struct qcow2_reserve reserve;
    struct qcow2_releases releases;
    struct qcow2_releases tables; /* likewise, of L2 tables that the file's L1 table does not lead to any more */
    struct qcow2_new_tables new_tables;
    struct qcow2_releases loose; /* what qcow2_modify_take_loose has given out */
    uint64_t search_next;        /* free clusters are looked for from here on */
    uint64_t search_left;        /* clusters that may still be looked at; then the image grows at its end */
    uint64_t append_next; /* the first one behind all that may be used: the file's end; on a device, by the counts */
    uint64_t end_cluster; /* behind everything that is used */

    uint8_t *store;                    /* QCOW2_STORE_LEN_MAX bytes, for tables */
    uint8_t *bounce;                   /* a cluster, for what is put together of old and new data */
    const uint8_t *zeros;              /* a cluster of them */
    struct target_write *bounce_write; /* that is under way; NULL: the memory is free */
    struct image_read_memory read_memory;
    struct qcow2_compression compression; /* when compress_len is set */
    struct qcow2_modify_pack pack;
    struct qcow2_tracking tracking;
    struct qcow2_bitmap_copy bitmaps; /* that are added */
    struct qcow2_overlap overlap;
};

/* Bytes of the disk that a slice covers. */
static inline uint64_t qcow2_modify_slice_span_len(const struct qcow2_modify *modify)
{
    return (uint64_t)modify->cluster_len * (modify->slices.len / qcow2_l2_entry_len(&modify->qcow2->header));
}

static inline struct qcow2_modify *qcow2_modify_of(struct target *target)
{
    return (struct qcow2_modify *)target;
}

MUST_CHECK bool qcow2_modify_open(struct image *image, struct qcow2_modify **ret_modify, struct error *error);
/* Before the first change: what will not fit the disk any more says so. */
MUST_CHECK bool qcow2_modify_begin(struct qcow2_modify *modify, struct error *error);
/*
 * After the last change: all of it is in the file, bitmaps know of it, and what is not needed is given back. With
 * `sync` it is on stable storage as well. A target's operation.
 */
MUST_CHECK bool qcow2_modify_finish(struct target *target, bool sync, struct error *error);

/*
 * Instead of it, when the change has failed (qcow2_modify_abandon.c): clusters that were taken, and that nothing in the
 * file leads to, are free again, and so are L2 tables that nothing was written to, as far as that works; the file gets
 * no longer than it needs to be; bitmaps have bits for what was changed. A target's operation.
 */
void qcow2_modify_abandon(struct target *target);
/*
 * The part of it that takes back: nothing is in memory only afterwards, and what is called then works again. For who
 * has more to undo in the file, before qcow2_modify_abandon.
 */
MUST_CHECK bool qcow2_modify_take_back(struct qcow2_modify *modify, struct error *error);
/*
 * The header is about to lead to what is in the file, and that only new reference counts tell of: if that write fails,
 * nobody knows which ones are valid, and the file stays as long as it is.
 */
void qcow2_modify_keep_len(struct qcow2_modify *modify);

#endif
