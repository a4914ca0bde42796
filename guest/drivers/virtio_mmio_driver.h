/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device behind a page of registers (VIRTIO 1.2, section 4.2), from its discovery to DRIVER_OK.
 *
 * Order of calls: open, then read the configuration and set queues up, then start. A store to a register is
 * expensive, a load is not; the functions are written accordingly.
 */
#ifndef INSTAR_GUEST_DRIVERS_VIRTIO_MMIO_DRIVER_H
#define INSTAR_GUEST_DRIVERS_VIRTIO_MMIO_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_mmio.h"
#include "base/error.h"
#include "guest/runtime/arena.h"

struct virtio_mmio {
    const char *name; /* of the device, for errors */
    uint64_t registers_gpa;
    uint64_t kick_gpa;
    /* Of a device of ours: what it is told at its start, all at once. NULL: it is told step by step. */
    struct virtio_mmio_setup *setup;
    uint16_t selected; /* queue */
    uint64_t features; /* negotiated */
};

/* Guest-physical addresses of a queue's three parts. */
struct virtio_mmio_queue {
    uint64_t desc_gpa;
    uint64_t driver_gpa; /* available ring */
    uint64_t device_gpa; /* used ring */
    uint16_t size;       /* descriptors */
};

/* What a driver can use of a device, and what it cannot do without; all of it from VIRTIO_*F_*. */
struct virtio_mmio_features {
    uint64_t accepted;
    uint64_t required;
};

/* Where a device is, and what for. */
struct virtio_mmio_open {
    const char *name; /* outlives the device */
    uint64_t registers_gpa;
    uint32_t device_id;
    struct virtio_mmio_features features;
    struct arena *memory; /* data memory, as for queues */
};

/* Finds a device of this type and agrees on features with it. */
bool virtio_mmio_open(struct virtio_mmio *device, const struct virtio_mmio_open *open, struct error *error);

/* A field of the device's configuration of 1, 2, 4 or 8 bytes. */
uint64_t virtio_mmio_read_config(const struct virtio_mmio *device, uint32_t off, uint32_t len);

/* Changes when the configuration does: what was read between two equal values belongs together (4.2.2.1). */
uint32_t virtio_mmio_config_generation(const struct virtio_mmio *device);

/* The largest size that a queue can have; 0 when there is no such queue. Selects the queue for setup. */
uint32_t virtio_mmio_select_queue(struct virtio_mmio *device, uint16_t index);

/* Gives the selected queue its memory. */
void virtio_mmio_setup_queue(const struct virtio_mmio *device, const struct virtio_mmio_queue *queue);

/* The device may use its queues from now on. */
bool virtio_mmio_start(const struct virtio_mmio *device, struct error *error);

/* Tells the device of new buffers in a queue. */
void virtio_mmio_notify(const struct virtio_mmio *device, uint16_t queue_index);

/* Fails when the device has stopped after an error that it cannot recover from (2.1.1). */
bool virtio_mmio_check(const struct virtio_mmio *device, struct error *error);

#endif
