/* SPDX-License-Identifier: Apache-2.0 */
/* The guest takes credit back that the host has used. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header request = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    struct virtio_vsock_header packet = raw_vsock_answer(&request, VIRTIO_VSOCK_OP_RESPONSE);
    packet.buf_alloc = 4096;
    raw_vsock_send(&vsock, &packet, 0);
    raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    packet.buf_alloc = 0;
    raw_vsock_send(&vsock, &packet, 0);
    raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}
