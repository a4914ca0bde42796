/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that the host has asked for once is accepted twice. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header request = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    struct virtio_vsock_header packet = raw_vsock_answer(&request, VIRTIO_VSOCK_OP_RESPONSE);
    raw_vsock_send(&vsock, &packet, 0);
    raw_vsock_send(&vsock, &packet, 0);
    platform_wait(WAIT_COMPLETION);
}
