/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device on our register page whose queues are served by another process (vhost_user.h). The VMM keeps
 * registers, status and features, and checks where the driver wants its queues; the guest's kicks and the daemon's
 * completions go past it, but for the wake-up of a vCPU that waits.
 *
 * What lies in the queues is between guest and daemon, which both check it.
 */
#ifndef INSTAR_HOST_DEVICES_VHOST_USER_DEVICE_H
#define INSTAR_HOST_DEVICES_VHOST_USER_DEVICE_H

#include "host/devices/transport_device.h"
#include "host/devices/vhost_user.h"
#include "host/devices/virtio_mmio_device.h"

struct vhost_user_device {
    struct virtio_mmio transport; /* first */
    struct vhost_user daemon;     /* under the transport's lock, once the machine runs */
    bool has_transport;
    int call_fd;           /* an eventfd: the daemon has used a buffer, in any queue */
    uint32_t started_mask; /* rings that the daemon was given */
};

struct vhost_user_device_config {
    const struct virtio_device_operations *operations; /* with the two functions below */
    const char *name;                                  /* for messages */
    unsigned int index;                                /* of the device in the machine */
    unsigned int queue_count;
    const char *socket;
    uint64_t features; /* that the guest may have, where the daemon has them, besides the transport's */
    /* The configuration: the first config_len bytes of the daemon's, or of `config` when it is not NULL. */
    uint32_t config_len;
    const void *config;
    /* Of `features`, those that the configuration shows to be none. May be NULL. */
    uint64_t (*void_features)(const void *config);
};

/*
 * Connects to the daemon, gives it the guest's memory, and puts the device into the machine. *device is zero. Release
 * it whatever comes out.
 */
bool vhost_user_device_make(struct vhost_user_device *device, const struct transport_device_setup *setup,
                            const struct vhost_user_device_config *config, struct error *error);
void vhost_user_device_release(struct vhost_user_device *device);

/* For struct virtio_device_operations. */
bool vhost_user_device_activate(struct virtio_mmio *transport, struct error *error);
void vhost_user_device_settle(struct virtio_mmio *transport);

#endif
