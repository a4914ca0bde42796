/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a connection that the host has asked for, before it is accepted. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header request = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    struct virtio_vsock_header packet = raw_vsock_answer(&request, VIRTIO_VSOCK_OP_RW);
    packet.len = 16;
    raw_vsock_send(&vsock, &packet, 16);
    platform_wait(WAIT_COMPLETION);
}
