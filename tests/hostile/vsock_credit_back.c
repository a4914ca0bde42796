/* SPDX-License-Identifier: Apache-2.0 */
/* The guest has passed data on, and then it has not. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header request = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    struct virtio_vsock_header packet = raw_vsock_answer(&request, VIRTIO_VSOCK_OP_RESPONSE);
    raw_vsock_send(&vsock, &packet, 0);
    struct virtio_vsock_header data = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    packet.fwd_cnt = data.len;
    raw_vsock_send(&vsock, &packet, 0);
    packet.fwd_cnt = data.len - 1;
    raw_vsock_send(&vsock, &packet, 0);
    platform_wait(WAIT_COMPLETION);
}
