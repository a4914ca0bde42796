/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue (VIRTIO 1.2, section 2.7).
 *
 * Every buffer that the driver offers is one descriptor, which points to an indirect table of its own
 * (2.7.5.3), laid out once at the start: a chain of any shape takes one entry of the ring, and adding it
 * writes one small table. Adding, publishing and taking are separate, so that a batch costs one notification.
 *
 * What both sides read while the other one writes (indices, ring entries, flags, events) is accessed
 * atomically. Tables and buffers are ordered by the release of the index that offers them and by the acquire
 * of the index that returns them.
 */
#ifndef INSTAR_GUEST_DRIVERS_VIRTQUEUE_DRIVER_H
#define INSTAR_GUEST_DRIVERS_VIRTQUEUE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_ring.h"
#include "guest/runtime/arena.h"

/* More in flight would not make a device faster; the driver's memory stays small. */
#define VIRTQUEUE_SIZE_MAX 256u

/* One contiguous piece of a chain; those that the device writes come last (2.7.4.2). */
struct virtqueue_part {
    uint64_t gpa;
    uint32_t len;
    bool device_writes;
};

/* What the driver remembers of a descriptor, in memory that the device is not told about. */
struct virtqueue_head {
    void *token;           /* NULL: the descriptor is free */
    uint64_t writable_len; /* bytes that the device may write */
    uint16_t next_free;
};

struct virtqueue {
    struct virtq_desc *desc;   /* written by the driver */
    struct virtq_avail *avail; /* written by the driver */
    struct virtq_used *used;   /* written by the device */
    struct virtq_desc *tables; /* table_len descriptors for each one in desc; written by the driver */
    struct virtqueue_head *heads;
    uint16_t size; /* descriptors, a power of two */
    uint16_t table_len;
    uint16_t first_free;
    uint16_t free_count;
    uint16_t added_idx;     /* of the next buffer in the available ring, as the three below modulo 2^16 */
    uint16_t published_idx; /* what the device has been told */
    uint16_t taken_idx;     /* of the next buffer in the used ring */
    bool event_idx;         /* VIRTIO_F_EVENT_IDX was negotiated */
};

struct virtqueue_setup {
    uint16_t size;       /* a power of two, VIRTQUEUE_SIZE_MAX at most */
    uint16_t parts_max;  /* of one chain */
    bool event_idx;      /* VIRTIO_F_EVENT_IDX was negotiated */
    struct arena *rings; /* where the three parts of the queue go */
    struct arena *arena; /* where everything else goes */
};

/* Lays the queue out in memory. False when the memory does not suffice. */
MUST_CHECK bool virtqueue_init(struct virtqueue *queue, const struct virtqueue_setup *setup);

/* How many chains can be added now. */
static inline uint16_t virtqueue_room(const struct virtqueue *queue)
{
    return queue->free_count;
}

static inline uint16_t virtqueue_in_flight(const struct virtqueue *queue)
{
    return (uint16_t)(queue->size - queue->free_count);
}

/*
 * Adds a chain, which the device sees after the next virtqueue_publish. There must be room, and
 * 1 <= count <= parts_max. `token`, not NULL, comes back when the device has used the chain.
 */
void virtqueue_add(struct virtqueue *queue, const struct virtqueue_part *parts, uint16_t count, void *token);

/* Shows the device what was added. Returns whether the device wants to be notified of it. */
MUST_CHECK bool virtqueue_publish(struct virtqueue *queue);

/* Whether virtqueue_take would find something. */
bool virtqueue_has_used(const struct virtqueue *queue);

enum virtqueue_taken {
    VIRTQUEUE_EMPTY,  /* nothing more was used so far */
    VIRTQUEUE_TAKEN,  /* *ret_token and *ret_written_len are set */
    VIRTQUEUE_BROKEN, /* the used ring contradicts what was offered */
};

/* Takes back one chain that the device has used. */
enum virtqueue_taken virtqueue_take(struct virtqueue *queue, void **ret_token, uint32_t *ret_written_len);

/*
 * Asks the device to signal the next buffer that it uses, and not to, respectively. Look for used buffers
 * after arming and before waiting: one used before the device saw the request is not signalled. Queues start
 * disarmed.
 */
void virtqueue_arm(struct virtqueue *queue);
void virtqueue_disarm(struct virtqueue *queue);

#endif
