/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (VIRTIO 1.2, section 5.3) with one port, for messages in bulk (docs/protocol.md).
 *
 * What the guest transmits is the continuation of what it sent on COM1: the same frames in the same order. The guest
 * may change over at any byte, but once only, and not before COM1's bytes have arrived: a register store that is not
 * coalesced, such as one of the device's initialization, sees to that.
 */
#ifndef INSTAR_ABI_VIRTIO_CONSOLE_H
#define INSTAR_ABI_VIRTIO_CONSOLE_H

/* Queues of port 0 (5.3.2). The device never has anything to receive. */
#define VIRTIO_CONSOLE_QUEUE_RECEIVE 0u
#define VIRTIO_CONSOLE_QUEUE_TRANSMIT 1u
#define VIRTIO_CONSOLE_QUEUE_COUNT 2u

#endif
