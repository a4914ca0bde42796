/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (VIRTIO 1.2, section 5.3). Two devices of instar's use it:
 *
 * One for messages in bulk (docs/protocol.md) has one port. What the guest transmits is the continuation of what it
 * sent on COM1: the same frames in the same order. The guest may change over at any byte, but once only, and not before
 * COM1's bytes have arrived: a register store that is not coalesced, such as one of the device's initialization, sees
 * to that.
 *
 * One for a transport has ports (VIRTIO_CONSOLE_F_MULTIPORT): abi/transports/console.h.
 */
#ifndef INSTAR_ABI_VIRTIO_CONSOLE_H
#define INSTAR_ABI_VIRTIO_CONSOLE_H

#include <stdint.h>

/* Queues of port 0 (5.3.2). With messages, the device never has anything to receive. */
#define VIRTIO_CONSOLE_QUEUE_RECEIVE 0u
#define VIRTIO_CONSOLE_QUEUE_TRANSMIT 1u
#define VIRTIO_CONSOLE_QUEUE_COUNT 2u

#define VIRTIO_CONSOLE_F_MULTIPORT (1ull << 1)

/* With ports: control messages to the guest and from it, then the queues of further ports. */
#define VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE 2u
#define VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT 3u
#define VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(port) ((port) == 0 ? 0u : 2 * (port) + 2)
#define VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(port) (VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(port) + 1)

struct virtio_console_config {
    uint16_t cols; /* not offered, as is rows */
    uint16_t rows;
    uint32_t max_nr_ports;
    uint32_t emerg_wr; /* not offered */
};

enum virtio_console_event {
    VIRTIO_CONSOLE_DEVICE_READY = 0, /* by the guest: it can deal with ports */
    VIRTIO_CONSOLE_DEVICE_ADD = 1,   /* by the host */
    VIRTIO_CONSOLE_DEVICE_REMOVE = 2,
    VIRTIO_CONSOLE_PORT_READY = 3, /* by the guest: it has queues for the port */
    VIRTIO_CONSOLE_CONSOLE_PORT = 4,
    VIRTIO_CONSOLE_RESIZE = 5,
    VIRTIO_CONSOLE_PORT_OPEN = 6, /* by both: 1, somebody is there; 0, nobody any more */
    VIRTIO_CONSOLE_PORT_NAME = 7, /* by the host; the name follows */
};

/* 5.3.6.2 */
struct virtio_console_control {
    uint32_t id; /* of the port */
    uint16_t event;
    uint16_t value;
};

_Static_assert(sizeof(struct virtio_console_config) == 12, "the configuration of section 5.3.4");
_Static_assert(sizeof(struct virtio_console_control) == 8, "the message of section 5.3.6.2");

#endif
