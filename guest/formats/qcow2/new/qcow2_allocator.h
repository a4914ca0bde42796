/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters of a new image, handed out front to back, and their reference counts. As nothing is ever taken back, one
 * block of counts is in memory at a time: a block is complete when the first cluster behind those that it counts is
 * taken, and goes into that cluster.
 *
 * No I/O: the caller writes what a function says is to be written.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_NEW_QCOW2_ALLOCATOR_H
#define INSTAR_GUEST_FORMATS_QCOW2_NEW_QCOW2_ALLOCATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "guest/runtime/arena.h"

struct qcow2_allocator {
    uint32_t cluster_bits;
    uint32_t refcount_order;
    uint64_t block_entries; /* clusters that a block counts */
    uint64_t next;          /* the first cluster that was never handed out */
    uint64_t block_index;   /* of the block in memory: all before it are complete */
    uint8_t *block;         /* a cluster long */
    uint64_t *table;        /* where complete blocks are, in bytes; as the refcount table, in our byte order */
    uint64_t table_max;     /* entries */
    uint64_t cluster_max;   /* that are expected, blocks of counts not included */
};

/*
 * Clusters from 0 on. `cluster_max`: no more than so many are handed out, the blocks of counts not included. False
 * when the arena does not suffice.
 */
MUST_CHECK bool qcow2_allocator_init(struct qcow2_allocator *allocator, uint32_t cluster_bits, uint32_t refcount_order,
                                     uint64_t cluster_max, struct arena *arena);

/* Whether qcow2_allocator_turn must be called before anything else is taken. */
bool qcow2_allocator_is_full(const struct qcow2_allocator *allocator);

/*
 * The block in memory is complete: sets *ret_off to where its content, allocator->block, belongs, in bytes; when it is
 * written (or copied), qcow2_allocator_turned goes on with the next one. False when the table has no more entries.
 */
MUST_CHECK bool qcow2_allocator_turn(struct qcow2_allocator *allocator, uint64_t *ret_off);
void qcow2_allocator_turned(struct qcow2_allocator *allocator);

/* How many clusters can be taken in one piece before it is full. */
uint64_t qcow2_allocator_room(const struct qcow2_allocator *allocator);

/* Takes up to `count` clusters that follow each other, each referred to once. Returns how many; not when full. */
uint64_t qcow2_allocator_take(struct qcow2_allocator *allocator, uint64_t count, uint64_t *ret_cluster);

/* Leaves free what the current block has not counted: the next cluster is in another one. */
void qcow2_allocator_skip(struct qcow2_allocator *allocator);

/* There will be so many clusters more than was said. False when the arena does not suffice. */
MUST_CHECK bool qcow2_allocator_expect(struct qcow2_allocator *allocator, uint64_t more_clusters, struct arena *arena);

/*
 * Clusters in one piece that more than one block may count: the blocks for them come first, the current one among them,
 * then the clusters. For each of block_count, in order, qcow2_allocator_region_block prepares allocator->block, which
 * goes to the cluster first_block + index. What the last one could count more is left free. False when the table has
 * no more entries.
 */
struct qcow2_allocator_region {
    uint64_t first_block;
    uint64_t block_count;
    uint64_t cluster;
    uint64_t end;
};
MUST_CHECK bool qcow2_allocator_region(const struct qcow2_allocator *allocator, uint64_t count,
                                       struct qcow2_allocator_region *ret_region);
void qcow2_allocator_region_block(struct qcow2_allocator *allocator, const struct qcow2_allocator_region *region,
                                  uint64_t index);
/* After the last block. */
void qcow2_allocator_region_end(struct qcow2_allocator *allocator);

/* One more reference to a cluster. False when it is not counted in the current block, or cannot have more. */
bool qcow2_allocator_share(struct qcow2_allocator *allocator, uint64_t cluster);

/*
 * The end: how many blocks are left to be written, where the first of them goes, then the refcount table, then
 * `tail_clusters` more, all in one piece. Counts all of them. Then for each block, in order, qcow2_allocator_last_block
 * prepares allocator->block.
 */
struct qcow2_allocator_end {
    uint64_t block_count; /* left */
    uint64_t first_block; /* clusters from here on hold them */
    uint64_t table_cluster;
    uint64_t table_clusters;
    uint64_t tail_cluster;
    uint64_t cluster_count; /* of the image */
};
MUST_CHECK bool qcow2_allocator_finish(const struct qcow2_allocator *allocator, uint64_t tail_clusters,
                                       struct qcow2_allocator_end *ret_end);
void qcow2_allocator_last_block(struct qcow2_allocator *allocator, const struct qcow2_allocator_end *end,
                                uint64_t index);

#endif
