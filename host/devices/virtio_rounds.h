/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of a device on several queues that depend on each other: rounds, of which each does what can be done now,
 * until nothing moves. Then a kick of any queue, or another event, starts it again.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_ROUNDS_H
#define INSTAR_HOST_DEVICES_VIRTIO_ROUNDS_H

#include "host/devices/io_thread.h"
#include "host/devices/virtio_mmio_device.h"

struct virtio_rounds {
    struct virtio_mmio *transport;
    /* Under the device's lock. Sets *ret_has_moved when it did anything; puts used chains and does not publish them. */
    bool (*round)(struct virtio_mmio *transport, bool *ret_has_moved, struct error *error);
};

/* Has the thread serve the device when the guest kicks one of these queues. `rounds` stays. */
bool virtio_rounds_add(struct virtio_rounds *rounds, struct io_thread *thread, const unsigned int *queues,
                       unsigned int count, struct error *error);

/* Works until nothing moves, if the guest uses the device; breaks it, and ends the machine, when a round fails. */
void virtio_rounds_serve(struct virtio_rounds *rounds);

/* Has the thread serve the device once, as if there had been a kick. */
void virtio_rounds_wake(const struct virtio_rounds *rounds, unsigned int queue);

#endif
