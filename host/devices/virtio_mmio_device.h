/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport, version 2 (VIRTIO 1.2, section 4.2): registers, status handshake, feature
 * negotiation and the configuration of queues, for any type of device.
 *
 * The register page is ordinary memory that the guest can only load from: after every change the device
 * writes there what a load shall see. Stores come to the handler.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_MMIO_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTIO_MMIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/devices/virtqueue_device.h"
#include "host/vmm/machine.h"

/* One queue per vCPU, so that no vCPU needs a lock in the guest. */
#define VIRTIO_QUEUE_MAX LAYOUT_VCPU_MAX

struct virtio_mmio;
struct register_bank;

/* What a type of device does when the driver is done, or starts again. Called under the device's lock. */
struct virtio_device_operations {
    uint32_t device_id;
    /* DRIVER_OK was set: queues are enabled, negotiated features are final. */
    bool (*activate)(struct virtio_mmio *transport, struct error *error);
    /*
     * The driver takes queues back, or resets the device: finish what is in flight. The transport does the rest. NULL:
     * nothing ever is in flight outside of the lock.
     */
    void (*settle)(struct virtio_mmio *transport);
};

/* A device's own struct begins with this. */
struct virtio_mmio {
    const struct virtio_device_operations *operations;
    struct machine *machine;
    const char *name;     /* for messages */
    pthread_mutex_t lock; /* everything below, and the queues' rings */
    uint8_t *page;        /* the registers as the guest loads them */
    bool is_attached;     /* until then there is a page, but no device on it (4.2.2, DeviceID 0) */
    uint64_t offered;     /* feature bits */
    uint64_t negotiated;  /* as the driver wrote them; final with FEATURES_OK */
    uint32_t status;
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    unsigned int queue_count;
    struct virtqueue queues[VIRTIO_QUEUE_MAX];
    int kick_fds[VIRTIO_QUEUE_MAX]; /* eventfds; signalled by the kernel, or by our register handler */
    bool is_late;                   /* the only one of them is the bank's */
    uint32_t doorbell_gpa;          /* of a late device's group; otherwise 0 */
    uint64_t notifications;         /* sent to the guest */
};

struct virtio_mmio_config {
    const struct virtio_device_operations *operations;
    const char *name;
    unsigned int index; /* of the device in the machine: says which register page */
    unsigned int queue_count;
    bool use_ioeventfd; /* the kernel turns kicks into events; otherwise each one is an exit */
    /* Where the page lies: gets the device. */
    struct register_bank *bank;
    /* The machine runs already: one queue, kicked at one of the bank's doorbells. */
    bool is_late;
};

/* Prepares a register page on which no device is yet. A late device needs no system call for it. */
bool virtio_mmio_init(struct virtio_mmio *transport, struct machine *machine, const struct virtio_mmio_config *config,
                      struct error *error);
/*
 * Puts the device on its page, with the features of its type; the transport adds its own. Its configuration is set
 * before. At any time, once.
 */
void virtio_mmio_attach(struct virtio_mmio *transport, uint64_t features);
void virtio_mmio_release(struct virtio_mmio *transport);

/* The bank's way to the device. */
bool virtio_mmio_access(struct virtio_mmio *transport, uint64_t off, const struct bus_access *access,
                        struct error *error);

/* Writes `len` bytes of device configuration at `off` from the configuration's start. Before the device is attached. */
void virtio_mmio_set_config(struct virtio_mmio *transport, uint32_t off, const void *config, size_t len);

/*
 * Changes the configuration of a device that the guest uses: begin, then any number of changes, then end, which also
 * tells the guest. In between config_generation is odd: whoever reads meanwhile finds another one afterwards. Under the
 * lock.
 */
void virtio_mmio_config_begin(struct virtio_mmio *transport);
void virtio_mmio_config_change(struct virtio_mmio *transport, uint32_t off, uint64_t value);
void virtio_mmio_config_end(struct virtio_mmio *transport);

/* Whether requests may be taken: DRIVER_OK is set and nothing is broken. Under the lock, as the next two. */
bool virtio_mmio_is_active(const struct virtio_mmio *transport);
/* Tells the guest that a buffer was used. */
void virtio_mmio_notify(struct virtio_mmio *transport);
/* Stops the device (2.1.2, DEVICE_NEEDS_RESET), tells the guest, and ends the machine with `error`. */
void virtio_mmio_break(struct virtio_mmio *transport, struct error *error);

#endif
