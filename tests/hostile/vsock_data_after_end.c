/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a connection that both sides have closed. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_SHUTDOWN);
    packet.flags = VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RECEIVE;
    raw_vsock_send(&vsock, &packet, 0);
    raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RST);
    packet.op = VIRTIO_VSOCK_OP_RW;
    packet.flags = 0;
    packet.len = 16;
    raw_vsock_expect_rst(&vsock, &packet);
}
