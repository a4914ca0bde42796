/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk along a chain of descriptors, by WP: for every queue, every table and every content of memory, another one
 * at each read. No descriptor is read beyond its table, the walk ends, and a chain never has more buffers than there is
 * room for. What a table is, indirect_table_resolve says (its contract here; prove_rings.c proves that of it).
 */
#include "tests/prove/prove.h"

#include "host/devices/virtqueue_device.h"

/*@ assigns error->kind; ensures error->kind == kind; */
void prove_error(struct error *error, enum error_kind kind);
#undef error_set
#define error_set(error, kind, ...) (prove_error((error), (kind)), false)
#define broken(error, what) error_set((error), ERROR_GUEST)

#include "structures.h"

/* Any content: memory is the guest's. */
/*@ requires readable: \valid_read(shared);
    assigns \result \from \nothing; */
static struct virtq_desc desc_fetch(const struct virtq_desc *shared);

/*@ requires \valid(walk) && \valid(error) && \valid_read(queue);
    requires \separated(walk, error, queue);
    assigns *walk, error->kind;
    ensures \result ==> !\old(walk->is_indirect) && walk->is_indirect && walk->steps == 0 && 1 <= walk->count <= 256;
    ensures \result ==> \valid_read(walk->table + (0 .. walk->count - 1)); */
static bool walk_enter_indirect(const struct virtqueue *queue, struct walk *walk, struct error *error);

/*@ requires \valid(chain) && \valid(error) && \valid_read(queue) && \valid_read(desc);
    requires \separated(chain, error, queue, desc);
    requires chain->readable_count + chain->writable_count <= VIRTQUEUE_SIZE_MAX;
    assigns *chain, error->kind;
    ensures room: chain->readable_count + chain->writable_count <= VIRTQUEUE_SIZE_MAX;
    ensures one_more: \result ==> chain->readable_count + chain->writable_count ==
                      \old(chain->readable_count) + \old(chain->writable_count) + 1; */
static bool buffer_add(const struct virtqueue *queue, const struct virtq_desc *desc, struct virtq_chain *chain,
                       struct error *error);

/*@ assigns \result, *ret_host \from memory; ensures \true; */
bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host);

/*@ requires \valid(chain) && \valid(walk) && \valid(error) && \valid_read(queue);
    requires \separated(chain, walk, error, queue);
    requires 1 <= walk->count <= VIRTQUEUE_SIZE_MAX && walk->steps == 0 && !walk->is_indirect;
    requires \valid_read(walk->table + (0 .. walk->count - 1));
    requires chain->readable_count == 0 && chain->writable_count == 0;
    assigns *walk, *chain, error->kind;
    ensures room: \result ==> 1 <= chain->readable_count + chain->writable_count <= VIRTQUEUE_SIZE_MAX; */
static bool chain_walk(const struct virtqueue *queue, struct walk *walk, struct virtq_chain *chain,
                       struct error *error);

#include "extracted.h"
