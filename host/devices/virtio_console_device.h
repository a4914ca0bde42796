/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console, the device's side (VIRTIO 1.2, section 5.3; abi/virtio_console.h): what the guest transmits goes to
 * the message port, as if it had been written there. A tenth of the cost of COM1, for guests that have megabytes to
 * say.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_CONSOLE_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTIO_CONSOLE_DEVICE_H

#include <stdbool.h>

#include "host/devices/io_thread.h"
#include "host/devices/message_port.h"
#include "host/devices/virtio_mmio_device.h"

struct virtio_console {
    struct virtio_mmio transport; /* first; its lock covers the queues */
    struct message_port *port;
    struct virtq_chain chain; /* the one being taken */
};

struct virtio_console_setup {
    unsigned int index; /* of the device in the machine */
    struct register_bank *bank;
    bool use_ioeventfd;
    struct io_thread *thread;  /* serves the queue; the caller's, not started yet */
    struct message_port *port; /* the caller's, as long as the device lives; need not be initialized yet */
};

/* Puts the device into the machine, where the guest finds it at once. */
bool virtio_console_init(struct virtio_console *console, struct machine *machine,
                         const struct virtio_console_setup *setup, struct error *error);
void virtio_console_release(struct virtio_console *console);

#endif
