/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock, the device's side (VIRTIO 1.2, section 5.10): packets of the guest's to and from Unix sockets, a
 * connection each (vsock_connection.h). Which connections there can be is known from the start, as nobody connects in
 * the jail.
 *
 * A packet that breaks the protocol ends the machine; one for a port or a connection that is not there is answered by
 * RST.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_VSOCK_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTIO_VSOCK_DEVICE_H

#include "host/devices/io_thread.h"
#include "host/devices/virtio_mmio_device.h"
#include "host/devices/virtio_rounds.h"
#include "host/devices/vsock_connection.h"

#define VSOCK_CONNECTION_MAX 2u
/* RSTs to connections that are not there, which wait for a buffer of the guest's. Until it has one, nothing is taken
 * from it (5.10.6.4). */
#define VSOCK_REFUSAL_MAX 16u

struct virtio_vsock {
    struct virtio_mmio transport; /* first; its lock covers the rest */
    struct virtio_rounds rounds;
    unsigned int connection_count;
    unsigned int connection_next; /* whose turn it is to send to the guest */
    struct vsock_connection connections[VSOCK_CONNECTION_MAX];
    unsigned int refusal_count;
    struct virtio_vsock_header refusals[VSOCK_REFUSAL_MAX];
    bool was_activated;
    bool needs_client;
    struct virtq_chain chain; /* the one being handled */
};

struct vsock_socket {
    int fd;             /* connected, of Unix; SOCK_STREAM or SOCK_SEQPACKET, as `type` says */
    uint32_t host_port; /* that the guest may connect to; 0: a client, which says where it wants to go */
};

struct virtio_vsock_setup {
    unsigned int index; /* of the device in the machine */
    struct register_bank *bank;
    bool use_ioeventfd;
    struct io_thread *thread; /* serves it; the caller's, not started yet */
    enum virtio_vsock_type type;
    bool needs_client; /* one that does not reach the guest ends the machine: the job is nothing without it */
    unsigned int socket_count;
    struct vsock_socket sockets[VSOCK_CONNECTION_MAX];
};

/* Puts the device into the machine. Takes the sockets over, also when it fails. */
bool virtio_vsock_init(struct virtio_vsock *vsock, struct machine *machine, const struct virtio_vsock_setup *setup,
                       struct error *error);
void virtio_vsock_release(struct virtio_vsock *vsock);

#endif
