/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of a virtio-vsock device: a Unix socket of the host's on one side, a port of the guest's on the other,
 * and the credit of both (VIRTIO 1.2, section 5.10.6.3). Sockets are in the manner of Firecracker's: a client that
 * wants to reach the guest says "CONNECT <port>\n" and is told "OK <port>\n"; what listens for the guest is told
 * nothing.
 *
 * The device's lock covers it. Nothing here waits: a socket that is not ready is tried again when its event comes.
 */
#ifndef INSTAR_HOST_DEVICES_VSOCK_CONNECTION_H
#define INSTAR_HOST_DEVICES_VSOCK_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/virtio_vsock.h"
#include "base/error.h"

/* What a connection holds for a socket that does not take it: what the guest is told as buf_alloc. */
#define VSOCK_BUFFER_LEN 0x40000u
/* Data of a packet to the guest at most, and of a message. */
#define VSOCK_INCOMING_LEN 0x10000u
/* "CONNECT 4294967295\n" is 19 bytes. */
#define VSOCK_GREETING_LEN_MAX 32u

enum vsock_state {
    VSOCK_EXPECTED,  /* the guest may connect to host_port */
    VSOCK_GREETING,  /* the client has not said yet where it wants to go */
    VSOCK_REQUESTED, /* the guest has not answered yet */
    VSOCK_ESTABLISHED,
    VSOCK_CLOSED,
};

/* Packets without data that the guest has to be sent; a bit each, so that their number has a bound. */
#define VSOCK_WANT_REQUEST 0x01u
#define VSOCK_WANT_RESPONSE 0x02u
#define VSOCK_WANT_RST 0x04u
#define VSOCK_WANT_SHUTDOWN 0x08u
#define VSOCK_WANT_CREDIT_UPDATE 0x10u

struct vsock_connection {
    enum vsock_state state;
    enum virtio_vsock_type type;
    int fd; /* its own; -1 when closed */
    uint32_t host_port;
    uint32_t guest_port;
    uint32_t wants; /* VSOCK_WANT_* */

    /* From the guest to the socket: a ring, with marks at the last byte of each message. Counts are modulo 2^32. */
    uint8_t *outgoing; /* VSOCK_BUFFER_LEN bytes */
    uint8_t *marks;    /* as many; SEQPACKET only */
    uint8_t *message;  /* one that wraps around the ring's end, in one piece */
    uint32_t received_count;
    uint32_t forwarded_count;
    uint32_t told_count;  /* the last forwarded_count that the guest was told */
    uint32_t message_len; /* bytes of the message that is arriving */
    bool guest_sends_no_more;
    bool guest_receives_no_more;
    bool socket_takes_no_more; /* its other end is gone: what comes is thrown away */

    /* From the socket to the guest. */
    uint8_t *incoming; /* VSOCK_INCOMING_LEN bytes */
    uint32_t incoming_off;
    uint32_t incoming_len;
    bool socket_has_ended;
    uint32_t sent_count;
    uint32_t guest_buf_alloc;
    uint32_t guest_fwd_cnt;

    char greeting[VSOCK_GREETING_LEN_MAX];
    uint32_t greeting_len;
    const char *client_failure; /* why the client did not reach the guest; NULL: it did, or still may */
};

/* Takes `fd` over. `host_port` is where the guest may connect to; 0: the socket is a client's. */
bool vsock_connection_init(struct vsock_connection *connection, enum virtio_vsock_type type, int fd, uint32_t host_port,
                           struct error *error);
/* Also of one whose init has failed. */
void vsock_connection_release(struct vsock_connection *connection);

/* A packet of the guest's on this connection: its header, and `len` bytes of data in guest memory, as many as it says.
 */
bool vsock_connection_take(struct vsock_connection *connection, const struct virtio_vsock_header *header,
                           const struct iovec *data, unsigned int data_count, struct error *error);

/* Moves what the socket takes and gives now. Returns whether anything was moved, or is new to be told to the guest. */
bool vsock_connection_move(struct vsock_connection *connection);

/* How many bytes of data can be sent to the guest now: limited by its credit. */
uint32_t vsock_connection_ready(const struct vsock_connection *connection);
/* The next packet to the guest, if there is one: its header, with `len` bytes at `*ret_data`, `room` at most. */
bool vsock_connection_next(struct vsock_connection *connection, uint32_t room, struct virtio_vsock_header *ret_header,
                           const uint8_t **ret_data);

#endif
