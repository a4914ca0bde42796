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
#include "guest/formats/qcow2/layout/qcow2_changes.h"
#include "guest/formats/qcow2/modify/qcow2_overlap.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/formats/qcow2/write/qcow2_bitmap_copy.h"
#include "guest/formats/qcow2/write/qcow2_compress.h"
#include "guest/image/image_read.h"
#include "guest/image/target.h"

#define QCOW2_SLICE_COUNT 8u
#define QCOW2_SLICE_LEN_MAX 65536u
/* Runs of clusters whose references are to be taken back at the next checkpoint. */
#define QCOW2_RELEASE_MAX 512u
/* Clusters that one request writes. */
#define QCOW2_RUN_MAX 64u
/* Of tables and counts that are changed or copied, bytes. */
#define QCOW2_STORE_LEN_MAX 65536u

/* A part of an L2 table. */
struct qcow2_slice {
    uint64_t off; /* bytes in the file; 0: nothing is in it */
    bool is_dirty;
    uint64_t last_use;
    uint8_t *bytes;
};

/* An entry of an L2 table. */
struct qcow2_slot {
    uint64_t descriptor;
    uint64_t bitmap; /* of subclusters; 0 without extended entries */
};

struct qcow2_release {
    uint64_t cluster;
    uint64_t count;
};

/* Compressed clusters, which follow each other (qcow2_modify_pack.c). */
struct qcow2_modify_pack {
    uint8_t *buffer;     /* NULL: nothing is compressed */
    uint64_t buffer_off; /* where it goes to; the next stream goes behind what is in it, when is_open */
    uint32_t buffer_len; /* bytes */
    bool is_open;
    uint64_t cluster;      /* the last one with a stream */
    uint64_t stream_count; /* of streams in it */
    uint64_t counted;      /* of those, how many its reference count has */
};

/* Bitmaps that track changes (qcow2_modify_tracking.c). */
struct qcow2_tracking {
    bool has_any;        /* bitmaps that are kept up to date */
    uint8_t *is_kept;    /* a bit for each bitmap of the directory */
    uint32_t told_count; /* of warnings */
    struct qcow2_changes changes;
    struct be64 *table; /* QCOW2_STORE_LEN_MAX bytes; NULL: there is no memory yet */
};

struct qcow2_modify {
    struct target target; /* first */
    struct image *image;
    uint64_t kept_len;   /* bytes of the file that stay: what it had when it was opened, and what is written since */
    struct qcow2 *qcow2; /* of the image */
    struct cipher_writer *cipher; /* NULL: not encrypted */
    struct file *data;            /* of the clusters' content: target.file, or the external data file */
    bool is_data_external;
    bool has_begun;      /* qcow2_modify_begin */
    bool keeps_bitmaps;  /* what changes on the disk is nothing that they tell of */
    bool has_odd_blocks; /* the refcount table has entries that make no sense */
    bool is_data_unsafe; /* the external data file has been written to since it was flushed */
    uint32_t cluster_len;
    uint32_t granule_len; /* what an entry can tell about: a cluster, or a subcluster */
    uint64_t l2_reach;    /* bytes of the disk that an L2 table covers */

    struct qcow2_slice slices[QCOW2_SLICE_COUNT];
    uint32_t slice_len;
    uint64_t use_count;

    uint64_t reserve_next; /* clusters that are counted as used, and are nobody's */
    uint64_t reserve_end;
    uint64_t reserve_count; /* how many to reserve next time */
    uint64_t search_next;   /* free clusters are looked for from here on */
    uint64_t search_left;   /* clusters that may still be looked at; then the image grows at its end */
    uint64_t append_next;   /* the first one behind all that may be used: the file's end; on a device, by the counts */
    uint64_t end_cluster;   /* behind everything that is used */
    struct qcow2_release releases[QCOW2_RELEASE_MAX];
    uint32_t release_count;

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

static inline struct qcow2_modify *qcow2_modify_of(struct target *target)
{
    return (struct qcow2_modify *)target;
}

/* Bytes of the disk that a slice covers. */
static inline uint64_t qcow2_modify_slice_reach(const struct qcow2_modify *modify)
{
    return (uint64_t)modify->cluster_len * (modify->slice_len / qcow2_l2_entry_len(&modify->qcow2->header));
}

MUST_CHECK bool qcow2_modify_open(struct image *image, struct qcow2_modify **ret_modify, struct error *error);
/* Before the first change: what will not fit the disk any more says so. */
MUST_CHECK bool qcow2_modify_begin(struct qcow2_modify *modify, struct error *error);
/*
 * After the last change: all of it is in the file, bitmaps know of it, and what is not needed is given back. With
 * `sync` it is on stable storage as well. A target's operation.
 */
MUST_CHECK bool qcow2_modify_finish(struct target *target, bool sync, struct error *error);

/* Files and memory (qcow2_modify_store.c). */

/* Everything so far is on stable storage; nothing is under way afterwards. */
MUST_CHECK bool qcow2_modify_flush(struct qcow2_modify *modify, struct error *error);
/* Makes the file long enough for bytes up to `end_off`, and longer. */
MUST_CHECK bool qcow2_modify_reach(struct qcow2_modify *modify, uint64_t end_off, struct error *error);
/* The same for the file that has the clusters' content. The external one gets the disk's length at once. */
MUST_CHECK bool qcow2_modify_reach_data(struct qcow2_modify *modify, uint64_t end_off, struct error *error);
/* Gives the external data file this length. */
MUST_CHECK bool qcow2_modify_set_data_len(struct qcow2_modify *modify, uint64_t len, struct error *error);
/* Writes arena memory, whole sectors, and waits. */
MUST_CHECK bool qcow2_modify_write(struct qcow2_modify *modify, uint64_t off, const void *data, uint64_t len,
                                   uint32_t own, struct error *error);
/* Writes a few bytes, QCOW2_STORE_LEN_MAX - 1024 at most, and waits; what is around them stays. */
MUST_CHECK bool qcow2_modify_store(struct qcow2_modify *modify, uint64_t off, const void *data, uint32_t len,
                                   uint32_t own, struct error *error);
MUST_CHECK bool qcow2_modify_store_be64(struct qcow2_modify *modify, uint64_t off, uint64_t value, uint32_t own,
                                        struct error *error);
/*
 * A new table, where nobody's is: `len` bytes, whole sectors, the first copy_len of them from `source_off` of the file,
 * the others are 0.
 */
MUST_CHECK bool qcow2_modify_copy_table(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint64_t source_off,
                                        uint64_t copy_len, struct error *error);
/* Zeros in the file with the clusters' content, which is long enough; without may_unmap their storage is reserved. */
MUST_CHECK bool qcow2_modify_write_zeroes(struct qcow2_modify *modify, uint64_t off, uint64_t len, bool may_unmap,
                                          struct error *error);

/* Clusters (qcow2_modify_clusters.c). */

/* Up to `count` clusters in one piece, one at least. */
MUST_CHECK bool qcow2_modify_take(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, uint64_t *ret_count,
                                  struct error *error);
/* Exactly `count` in one piece: free ones within the image, if there are such neighbours, or behind all others. */
MUST_CHECK bool qcow2_modify_take_run(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off,
                                      struct error *error);
/* Exactly `count`, behind all others: what nobody writes there reads as zeros, if the image is in a file. */
MUST_CHECK bool qcow2_modify_append(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off,
                                    struct error *error);
/*
 * A reference less to each of these clusters, from the next checkpoint on. There is room for QCOW2_RELEASE_MAX runs of
 * them between two checkpoints: an error when there is none left.
 */
MUST_CHECK bool qcow2_modify_release(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own,
                                     struct error *error);
/* Takes all of them back now. */
MUST_CHECK bool qcow2_modify_release_all(struct qcow2_modify *modify, struct error *error);
/* The reserve is not used any more. */
MUST_CHECK bool qcow2_modify_give_back(struct qcow2_modify *modify, struct error *error);
/* What the file's length could be: behind the last cluster that is used. Looks from the file's end. */
MUST_CHECK bool qcow2_modify_used_end(struct qcow2_modify *modify, uint64_t *ret_off, struct error *error);

/*
 * Whether these clusters are nobody else's, by their counts and by what is known of metadata, so that they can be
 * written to. They are in the file, at least in part.
 */
MUST_CHECK bool qcow2_modify_is_own(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own,
                                    bool *ret_is_own, struct error *error);

/* Refcount blocks and their table (qcow2_modify_refcounts.c). */

/* Adds `change` to `count` counters, all of which are stored. They have room for it. */
MUST_CHECK bool qcow2_modify_count(struct qcow2_modify *modify, uint64_t cluster, uint64_t count, int64_t change,
                                   struct error *error);
/* There are counters for this cluster, or for some behind it, from now on. It is at append_next or behind it. */
MUST_CHECK bool qcow2_modify_make_counters(struct qcow2_modify *modify, uint64_t cluster, struct error *error);
/* Whether the refcount table has an entry that leads to no block. */
MUST_CHECK bool qcow2_modify_find_odd_blocks(struct qcow2_modify *modify, bool *ret_has, struct error *error);
/* Takes blocks away that count nothing but themselves. Nothing is under way, and nothing is allocated afterwards. */
MUST_CHECK bool qcow2_modify_drop_empty_blocks(struct qcow2_modify *modify, struct error *error);
/* New blocks behind all others, and `count` clusters behind them, in one piece and with one reference each. */
MUST_CHECK bool qcow2_modify_make_region(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_cluster,
                                         struct error *error);

/* L2 tables (qcow2_modify_tables.c). */
/* Whether an L2 table may be at `off`, as entry `index` of an L1 table says. */
MUST_CHECK bool qcow2_modify_check_l2_off(const struct qcow2_modify *modify, uint64_t off, uint64_t index,
                                          struct error *error);

/*
 * Entries of the L1 table that lead nowhere, but have bits set, become 0. A check takes them for tables at offset 0, so
 * that what it finds there depends on every later change of the header.
 */
MUST_CHECK bool qcow2_modify_tidy_l1(struct qcow2_modify *modify, struct error *error);
/* Whether an L2 table, as it is in the file, has a descriptor of this sort (of subclusters, the bitmaps do not count).
 */
MUST_CHECK bool qcow2_modify_find_entry(struct qcow2_modify *modify, uint64_t l2_off,
                                        bool (*is_wanted)(uint64_t descriptor), bool *ret_has, struct error *error);

/* The entry of the cluster at `voff`; zeros where there is no table. */
MUST_CHECK bool qcow2_modify_get(struct qcow2_modify *modify, uint64_t voff, struct qcow2_slot *ret_slot,
                                 struct error *error);
/* Makes sure that qcow2_modify_set works for the cluster at voff, until the next call for another one. */
MUST_CHECK bool qcow2_modify_prepare(struct qcow2_modify *modify, uint64_t voff, struct error *error);
/* After qcow2_modify_prepare. */
void qcow2_modify_set(struct qcow2_modify *modify, uint64_t voff, struct qcow2_slot slot);
/* Whether the disk has nothing at voff, and how far that goes: only by the L1 table. */
MUST_CHECK bool qcow2_modify_empty_len(struct qcow2_modify *modify, uint64_t voff, uint64_t *ret_len,
                                       struct error *error);
MUST_CHECK bool qcow2_modify_checkpoint(struct qcow2_modify *modify, struct error *error);
/* Takes the L2 tables from entry `first` on away; clusters that they tell of have been released. */
MUST_CHECK bool qcow2_modify_drop_tables(struct qcow2_modify *modify, uint64_t first, struct error *error);

/* The disk (qcow2_modify_disk.c): the target's operations. */
/* Whether there is storage for the cluster's content that is not compressed. */
bool qcow2_modify_has_storage(const struct qcow2_modify *modify, struct qcow2_slot slot);
bool qcow2_modify_disk_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                             uint64_t len, uint64_t *ret_len, struct error *error);
bool qcow2_modify_disk_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                            uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len,
                            struct error *error);
bool qcow2_modify_disk_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error);
/* A cluster's content is not wanted any more, and it is unallocated afterwards. */
MUST_CHECK bool qcow2_modify_forget(struct qcow2_modify *modify, uint64_t voff, struct error *error);

/* Compressed clusters: the target's operations. */
bool qcow2_modify_begin_compression(struct target *target, const struct target_compression *compression,
                                    struct error *error);
uint32_t qcow2_modify_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch);
bool qcow2_modify_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                   struct error *error);
/* All streams so far are in the file, and counted. */
MUST_CHECK bool qcow2_modify_pack_flush(struct qcow2_modify *modify, struct error *error);
/* The same, and no other one follows them. */
MUST_CHECK bool qcow2_modify_pack_close(struct qcow2_modify *modify, struct error *error);

/* Bitmaps that track changes (qcow2_modify_tracking.c). */

/* Before the first change: they are in use from now on. */
MUST_CHECK bool qcow2_modify_track_begin(struct qcow2_modify *modify, struct error *error);
/* After qcow2_modify_begin: these bytes of the disk are changed. */
void qcow2_modify_note(struct qcow2_modify *modify, uint64_t voff, uint64_t len);
/*
 * After a checkpoint, and the last change: they have bits for all of it, and are no longer in use. Warns of those that
 * the image makes impossible to keep, which stay in use.
 */
MUST_CHECK bool qcow2_modify_track_end(struct qcow2_modify *modify, struct error *error);

/* Bitmaps that are added or changed (qcow2_modify_bitmaps.c). */

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

/* What an entry leads to is to be released. */
MUST_CHECK bool qcow2_modify_release_slot(struct qcow2_modify *modify, struct qcow2_slot slot, struct error *error);

#endif
