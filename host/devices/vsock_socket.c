/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both connections are made before the jail closes: the guest's to its service, although it has not asked yet, and that
 * of the one client that there can be, which is waited for.
 */
#include "host/devices/vsock_socket.h"

#include <stdlib.h>

#include "abi/transports/vsock.h"
#include "host/devices/virtio_vsock_device.h"
#include "host/devices/vsock_sockets.h"

/* Its place in the machine. */
#define DEVICE_INDEX 0u

struct vsock_socket_device {
    struct transport_device device; /* first */
    struct virtio_vsock vsock;
};

static void vsock_socket_release(struct transport_device *device)
{
    virtio_vsock_release(&((struct vsock_socket_device *)device)->vsock);
    free(device);
}

static bool vsock_init(struct virtio_vsock *vsock, const struct transport_device_setup *setup, struct error *error)
{
    int client_fd;
    int service_fd;
    RETURN_IF_FAILED(vsock_sockets_await(setup->sockets[TRANSPORT_SOCKET_LISTENER], VSOCK_OUTPUT_PORT,
                                         setup->listener_fd, &client_fd, &service_fd, error));
    struct virtio_vsock_setup own_setup = {
        .index = DEVICE_INDEX,
        .bank = setup->bank,
        .use_ioeventfd = setup->use_ioeventfd,
        .thread = setup->thread,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .needs_client = true,
        .socket_count = 2,
        .sockets = {{client_fd, 0}, {service_fd, VSOCK_OUTPUT_PORT}},
    };
    return virtio_vsock_init(vsock, setup->machine, &own_setup, error);
}

static bool vsock_socket_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                              struct error *error)
{
    struct vsock_socket_device *device = calloc(1, sizeof(*device));
    if (device == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    device->device.operations = &vsock_socket_device;
    if (!vsock_init(&device->vsock, setup, error)) {
        free(device);
        return false;
    }
    *ret_device = &device->device;
    return true;
}

const struct transport_device_operations vsock_socket_device = {
    .daemon_count = 1,
    .listens = true,
    .make = vsock_socket_make,
    .release = vsock_socket_release,
};
