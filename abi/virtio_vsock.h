/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (VIRTIO 1.2, section 5.10): sockets between host and guest. Numbers are little-endian.
 */
#ifndef INSTAR_ABI_VIRTIO_VSOCK_H
#define INSTAR_ABI_VIRTIO_VSOCK_H

#include <stdint.h>

/* Queues (5.10.2): packets to the guest, packets of the guest, events, of which a device without migration has none. */
#define VIRTIO_VSOCK_QUEUE_RECEIVE 0u
#define VIRTIO_VSOCK_QUEUE_TRANSMIT 1u
#define VIRTIO_VSOCK_QUEUE_EVENT 2u
#define VIRTIO_VSOCK_QUEUE_COUNT 3u

#define VIRTIO_VSOCK_F_STREAM (1ull << 0)
#define VIRTIO_VSOCK_F_SEQPACKET (1ull << 1)

/* The host's own address (5.10.4). */
#define VIRTIO_VSOCK_CID_HOST 2ull

struct virtio_vsock_config {
    uint64_t guest_cid;
};

enum virtio_vsock_type {
    VIRTIO_VSOCK_TYPE_STREAM = 1,
    VIRTIO_VSOCK_TYPE_SEQPACKET = 2,
};

enum virtio_vsock_op {
    VIRTIO_VSOCK_OP_REQUEST = 1,
    VIRTIO_VSOCK_OP_RESPONSE = 2,
    VIRTIO_VSOCK_OP_RST = 3,
    VIRTIO_VSOCK_OP_SHUTDOWN = 4,
    VIRTIO_VSOCK_OP_RW = 5,
    VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6,
    VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: the sender will not receive, or send, any more. */
#define VIRTIO_VSOCK_SHUTDOWN_RECEIVE 0x1u
#define VIRTIO_VSOCK_SHUTDOWN_SEND 0x2u
/* Flags of RW on SEQPACKET: the last packet of a message, and of a record, which is the user's business. */
#define VIRTIO_VSOCK_SEQ_EOM 0x1u
#define VIRTIO_VSOCK_SEQ_EOR 0x2u

/* First part of every packet (5.10.6); RW has `len` bytes of data behind it, the others have none. */
struct virtio_vsock_header {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t len;
    uint16_t type; /* enum virtio_vsock_type */
    uint16_t op;   /* enum virtio_vsock_op */
    uint32_t flags;
    /* Of the sender: bytes that it can hold for this connection, and bytes of them that it has passed on, modulo 2^32
     * (5.10.6.3). */
    uint32_t buf_alloc;
    uint32_t fwd_cnt;
} __attribute__((packed));

_Static_assert(sizeof(struct virtio_vsock_header) == 44, "the header of section 5.10.6");

#endif
