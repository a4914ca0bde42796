/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (VIRTIO 1.2, section 2.7).
 *
 * Everything in a ring is written by the guest and may change while we look: each index, descriptor and event
 * is fetched once into a local copy, checked, and only then used. The cursors that this side relies on
 * live here, in host memory. A ring that breaks the rules is an error, from which only a reset leads back.
 *
 * Not thread-safe: the device's lock covers its queues.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTQUEUE_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTQUEUE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/virtio_ring.h"
#include "base/error.h"
#include "host/vmm/guest_memory.h"

/* Descriptors of the longest queue offered, and of the longest chain: 254 segments, header and status. */
#define VIRTQUEUE_SIZE_MAX 256u

struct virtqueue {
    const struct guest_memory *memory;
    bool has_event_idx; /* negotiated, as is the next */
    bool has_indirect;
    /* As the driver configured it; checked by virtqueue_enable. */
    uint32_t size;
    uint64_t desc_gpa;
    uint64_t driver_gpa;
    uint64_t device_gpa;
    bool is_enabled;
    /* Valid while enabled: pointers into guest memory, checked for the whole length of each part. */
    const struct virtq_desc *desc;
    struct virtq_avail *avail;
    struct virtq_used *used;
    uint16_t avail_next; /* the next entry to take, modulo 2^16 */
    uint16_t used_next;  /* the next entry to fill, modulo 2^16 */
    uint16_t used_told;  /* used_next when the guest was last told, or found to want no telling */
};

/* A chain of descriptors, resolved: first the buffers that the device reads, then those it writes. */
struct virtq_chain {
    uint16_t head;
    unsigned int readable_count;
    unsigned int writable_count;
    struct iovec buffers[VIRTQUEUE_SIZE_MAX]; /* in guest memory */
};

/* Checks size, addresses and alignment (2.7), and starts at index 0. */
bool virtqueue_enable(struct virtqueue *queue, struct error *error);
void virtqueue_reset(struct virtqueue *queue);

/*
 * Sets *ret_available to the number of chains that wait; at most the queue's size. Fetches the index once: take
 * that many, then ask again.
 */
bool virtqueue_available(const struct virtqueue *queue, unsigned int *ret_available, struct error *error);

/* Takes the next chain; virtqueue_available said that there is one. */
bool virtqueue_take(struct virtqueue *queue, struct virtq_chain *ret_chain, struct error *error);

/* Fills the next used entry; the guest sees it after virtqueue_publish. */
void virtqueue_put(struct virtqueue *queue, uint16_t head, uint32_t written_len);
/* Shows the guest what was put; returns whether it wants to be told (2.7.7, 2.7.10). */
bool virtqueue_publish(struct virtqueue *queue);

/*
 * Asks the guest to kick from now on. Chains may have arrived before that: look once more after it. Between
 * two calls the guest need not kick, as the queue is being drained.
 */
void virtqueue_want_kicks(struct virtqueue *queue);

#endif
