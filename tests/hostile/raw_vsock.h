/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock (abi/virtio_vsock.h, abi/transports/vsock.h) on rings without a driver; nothing is checked. */
#ifndef INSTAR_TESTS_HOSTILE_RAW_VSOCK_H
#define INSTAR_TESTS_HOSTILE_RAW_VSOCK_H

#include "abi/transports/vsock.h"
#include "abi/virtio_vsock.h"
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

/* Where the guest connects from. */
#define RAW_VSOCK_PORT 5000u
#define RAW_VSOCK_RECEIVE_LEN 4096u
#define RAW_VSOCK_SEND_LEN 0x80000u

struct raw_vsock {
    struct raw_ring receive;
    struct raw_ring transmit;
    uint16_t transmit_size;
    uint8_t *received; /* 16 buffers */
    uint8_t *packet;   /* a header, and RAW_VSOCK_SEND_LEN bytes of zeros */
    uint16_t type;
};

/* Everything up to DRIVER_OK, without buffers to receive. */
void raw_vsock_init(struct raw_vsock *vsock, struct runtime *runtime);
/* With 16 of them. */
void raw_vsock_open(struct raw_vsock *vsock, struct runtime *runtime);
void raw_vsock_offer(struct raw_vsock *vsock);

/* A sound packet of the connection to the output's port; `len` is 0. */
struct virtio_vsock_header raw_vsock_packet(const struct raw_vsock *vsock, uint16_t op);
/* A sound packet that answers another one. */
struct virtio_vsock_header raw_vsock_answer(const struct virtio_vsock_header *packet, uint16_t op);

/* Sends the header with `data_len` bytes of zeros, whatever the header says, and waits until it was taken. */
void raw_vsock_send(struct raw_vsock *vsock, const struct virtio_vsock_header *header, uint32_t data_len);
/* Waits for a packet and gives its buffer back. */
struct virtio_vsock_header raw_vsock_receive(struct raw_vsock *vsock);
/* Waits for a packet of this operation; others are dropped. */
struct virtio_vsock_header raw_vsock_receive_op(struct raw_vsock *vsock, uint16_t op);

/* Connects to the output's port. */
void raw_vsock_connect(struct raw_vsock *vsock);
/* Sends a packet and waits for the host's next one on the same port: RST is a failure in these words. */
void raw_vsock_expect_rst(struct raw_vsock *vsock, const struct virtio_vsock_header *header);

#endif
