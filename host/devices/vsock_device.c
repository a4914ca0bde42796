/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vsock_device.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "abi/transports/vsock.h"
#include "host/devices/virtio_vsock_device.h"
#include "host/devices/vsock_sockets.h"
#include "host/devices/vsock_user.h"

/* Its place in the machine. */
#define DEVICE_INDEX 0u

struct vsock {
    struct transport_device device; /* first */
    struct virtio_vsock vsock;
    bool has_vsock;
    struct vsock_user user;
    bool has_user;
};

static void vsock_release(struct transport_device *device)
{
    struct vsock *vsock = (struct vsock *)device;
    if (vsock->has_vsock) {
        virtio_vsock_release(&vsock->vsock);
    }
    if (vsock->has_user) {
        vsock_user_release(&vsock->user);
    }
    free(vsock);
}

static bool parts_make(struct vsock *vsock, const struct transport_device_setup *setup, struct error *error)
{
    bool is_seqpacket = setup->variant == VSOCK_VARIANT_SEQPACKET;
    struct vsock_socket_pair client;
    struct vsock_socket_pair listener;
    RETURN_IF_FAILED(vsock_sockets_connect(is_seqpacket ? SOCK_SEQPACKET : SOCK_STREAM, VSOCK_OUTPUT_PORT, &client,
                                           &listener, error));
    struct vsock_user_setup user_setup = {
        .machine = setup->machine,
        .thread = setup->far_thread,
        .input = setup->input,
        .output = setup->output,
        .input_fd = client.user_fd,
        .output_fd = listener.user_fd,
        .input_port = VSOCK_INPUT_PORT,
    };
    vsock->has_user = vsock_user_init(&vsock->user, &user_setup, error);
    struct virtio_vsock_setup vsock_setup = {
        .index = DEVICE_INDEX,
        .bank = setup->bank,
        .use_ioeventfd = setup->use_ioeventfd,
        .thread = setup->thread,
        .type = is_seqpacket ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM,
        .socket_count = 2,
        .sockets = {{client.device_fd, 0}, {listener.device_fd, VSOCK_OUTPUT_PORT}},
    };
    struct error ignored = {0};
    vsock->has_vsock =
        virtio_vsock_init(&vsock->vsock, setup->machine, &vsock_setup, vsock->has_user ? error : &ignored);
    return vsock->has_user && vsock->has_vsock;
}

static bool vsock_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                       struct error *error)
{
    struct vsock *vsock = calloc(1, sizeof(*vsock));
    if (vsock == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    vsock->device.operations = &vsock_device;
    if (!parts_make(vsock, setup, error)) {
        vsock_release(&vsock->device);
        return false;
    }
    *ret_device = &vsock->device;
    return true;
}

const struct transport_device_operations vsock_device = {.make = vsock_make, .release = vsock_release};
