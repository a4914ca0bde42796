/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-vsock device (VIRTIO 1.2, section 5.10), the driver's side: connections with the host, of streams or of
 * messages. Calls wait. Memory is the arena's: a connection has a buffer for what comes while nobody reads.
 */
#ifndef INSTAR_GUEST_DRIVERS_VIRTIO_VSOCK_DRIVER_H
#define INSTAR_GUEST_DRIVERS_VIRTIO_VSOCK_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_vsock.h"
#include "base/error.h"
#include "guest/drivers/virtio_mmio_driver.h"
#include "guest/drivers/virtqueue_driver.h"
#include "guest/runtime/arena.h"

#define VSOCK_CONNECTION_MAX 2u
/* What a connection holds that was not read: the credit of the host. */
#define VSOCK_BUFFER_LEN 0x80000u
/* Data of a packet, in either direction; of messages, half of it, so that long ones have several packets. */
#define VSOCK_PACKET_LEN_MAX 0x10000u
#define VSOCK_RECEIVE_COUNT 16u
#define VSOCK_TRANSMIT_COUNT 16u

struct vsock_packet;

enum vsock_state {
    VSOCK_LISTENING,  /* for the host's REQUEST */
    VSOCK_CONNECTING, /* the host's RESPONSE is not there */
    VSOCK_OPEN,
    VSOCK_CLOSED, /* by the host */
};

struct vsock_connection {
    struct vsock_device *device;
    enum vsock_state state;
    uint32_t local_port;
    uint32_t peer_port;
    bool peer_sends_no_more;

    /* Receiving. Where what comes goes at once, as somebody waits for it; then the buffer, a ring. */
    uint8_t *target;
    uint64_t target_left;
    uint8_t *buffer;
    uint32_t buffered_count; /* bytes that came into it and that left it, modulo 2^32 */
    uint32_t taken_count;
    uint32_t forwarded_count; /* bytes that a reader has got, as are the following */
    uint32_t told_count;

    /* Sending. */
    uint32_t sent_count;
    uint32_t peer_buf_alloc;
    uint32_t peer_fwd_cnt;
    uint64_t message_left; /* bytes of the message that is being sent */
};

struct vsock_device {
    struct virtio_mmio mmio;
    struct virtqueue receive;
    struct virtqueue transmit;
    uint64_t guest_cid;
    uint64_t poll_ticks;
    enum virtio_vsock_type type;
    uint32_t message_len_max;     /* SEQPACKET: bytes of a message that is sent */
    struct vsock_packet *headers; /* VSOCK_TRANSMIT_COUNT, for packets to the host */
    uint32_t header_next;
    unsigned int connection_count;
    struct vsock_connection *connections[VSOCK_CONNECTION_MAX];
};

struct vsock_setup {
    uint64_t registers_gpa;
    uint64_t poll_ticks; /* how long to poll before sleeping */
    enum virtio_vsock_type type;
    uint32_t message_len_max;
    struct arena *rings;
    struct arena *arena;
};

bool vsock_open(struct vsock_device *device, const struct vsock_setup *setup, struct error *error);

/* Waits until the host has connected to `port` here, or has let this side connect to `port` there, respectively. The
 * connection is the caller's, and stays. */
bool vsock_accept(struct vsock_device *device, struct vsock_connection *connection, uint32_t port, struct arena *arena,
                  struct error *error);
bool vsock_connect(struct vsock_device *device, struct vsock_connection *connection, uint32_t port, struct arena *arena,
                   struct error *error);

/* All of the bytes, arena memory: returns when the device has them. Of SEQPACKET, messages of message_len_max. */
bool vsock_send(struct vsock_connection *connection, const void *data, uint64_t len, struct error *error);
/* Exactly `len` bytes, whatever messages they come in. */
bool vsock_receive(struct vsock_connection *connection, void *data, uint64_t len, struct error *error);
/* The orderly end: shuts both directions down and waits for the host's last word. */
bool vsock_close(struct vsock_connection *connection, struct error *error);

#endif
