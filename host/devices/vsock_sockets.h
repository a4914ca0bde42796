/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Unix sockets of a virtio-vsock device, under names as Firecracker has them: PATH, where clients of the guest's
 * connect, and PATH_PORT, where something listens for the guest. Without a PATH of the user's both ends belong to this
 * process, which lets no other one in: they have a directory of their own, which is gone when the function returns.
 */
#ifndef INSTAR_HOST_DEVICES_VSOCK_SOCKETS_H
#define INSTAR_HOST_DEVICES_VSOCK_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct vsock_socket_pair {
    int device_fd;
    int user_fd;
};

/*
 * Connects a client to the device, and the device to what listens on `port`, by sockets of `type` (SOCK_STREAM,
 * SOCK_SEQPACKET). The caller closes all four.
 */
bool vsock_sockets_connect(int type, uint32_t port, struct vsock_socket_pair *ret_client,
                           struct vsock_socket_pair *ret_listener, struct error *error);

/*
 * The same with other processes at the far ends: connects to what listens for the guest at PATH_PORT, and waits for a
 * client of the guest's at `listener_fd`, which is bound to PATH, and closed when the function returns. The caller
 * closes both of the device's sockets.
 */
bool vsock_sockets_await(const char *path, uint32_t port, int listener_fd, int *ret_client_fd, int *ret_service_fd,
                         struct error *error);

void vsock_socket_pair_close(struct vsock_socket_pair *pair);

#endif
