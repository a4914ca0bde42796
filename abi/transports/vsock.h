/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport vsock: the two streams of abi/transports/stream.h as connections of a virtio-vsock device
 * (abi/virtio_vsock.h), which is device 0 of the machine. The host connects to the guest's port for input; the guest
 * connects to the host's port for output.
 *
 * Of VSOCK_VARIANT_SEQPACKET the connections carry messages, of VSOCK_MESSAGE_LEN_MAX bytes at most. Their borders mean
 * nothing to the streams.
 */
#ifndef INSTAR_ABI_TRANSPORTS_VSOCK_H
#define INSTAR_ABI_TRANSPORTS_VSOCK_H

#define VSOCK_VARIANT_STREAM 0u
#define VSOCK_VARIANT_SEQPACKET 1u

#define VSOCK_GUEST_CID 3ull
#define VSOCK_INPUT_PORT 1024u
#define VSOCK_OUTPUT_PORT 1025u

/* A guest that sends a longer one is in error: the host holds a message until all of it is there. */
#define VSOCK_MESSAGE_LEN_MAX 65536u

#endif
