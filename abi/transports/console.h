/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport console: the two streams of abi/transports/stream.h as ports of a virtio-console device
 * (abi/virtio_console.h), which is device 0 of the machine. The host sends on the input port, and closes it when the
 * stream is at its end; the guest sends on the output port and is sent replies there.
 *
 * The host fills each buffer to its end unless the stream ends. Behind a request that is replied to, in the same chain,
 * nothing follows, or the guest has given a buffer for the reply before.
 */
#ifndef INSTAR_ABI_TRANSPORTS_CONSOLE_H
#define INSTAR_ABI_TRANSPORTS_CONSOLE_H

#define CONSOLE_PORT_INPUT 0u
#define CONSOLE_PORT_OUTPUT 1u
#define CONSOLE_PORT_COUNT 2u
#define CONSOLE_QUEUE_COUNT (2 * CONSOLE_PORT_COUNT + 2)

#endif
