/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of a device: its start, and waiting for it. What drivers have in common that is neither of virtio-mmio nor of
 * the ring. */
#ifndef INSTAR_GUEST_DRIVERS_DEVICE_QUEUE_H
#define INSTAR_GUEST_DRIVERS_DEVICE_QUEUE_H

#include "guest/drivers/virtio_mmio_driver.h"
#include "guest/drivers/virtqueue_driver.h"

struct device_queue_setup {
    uint16_t index; /* in the device */
    uint16_t
        size_max; /* entries wanted; a queue has the largest power of two up to that and to what the device takes */
    uint16_t parts_max; /* of one chain */
    struct arena *rings;
    struct arena *arena;
};

/* Lays a queue out and tells the device of it; before the device is started. */
bool device_queue_open(struct virtio_mmio *mmio, const struct device_queue_setup *setup, struct virtqueue *queue,
                       struct error *error);

/* As long as it pays to poll for a completion before sleeping; for a device that has no better idea. */
uint64_t device_queue_poll_ticks(uint32_t tsc_khz);

/*
 * Returns when one of the queues has something used: polls for `poll_ticks`, then sleeps. Nothing in the protocol
 * bounds this wait: the host ends a job whose device does not answer.
 */
bool device_queues_wait(const struct virtio_mmio *mmio, struct virtqueue *const *queues, unsigned int count,
                        uint64_t poll_ticks, struct error *error);

#endif
