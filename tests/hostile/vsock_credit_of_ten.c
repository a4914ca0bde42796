/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that takes 10 bytes is sent no more. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header request = raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    struct virtio_vsock_header packet = raw_vsock_answer(&request, VIRTIO_VSOCK_OP_RESPONSE);
    packet.buf_alloc = 10;
    raw_vsock_send(&vsock, &packet, 0);
    if (raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RW).len != 10) {
        attack_fail("not the 10 bytes that there is room for");
    }
    /* An answer to this comes behind all that could be sent. */
    packet.op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    raw_vsock_send(&vsock, &packet, 0);
    if (raw_vsock_receive(&vsock).op != VIRTIO_VSOCK_OP_CREDIT_UPDATE) {
        attack_fail("something that there is no room for");
    }
    packet.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    packet.fwd_cnt = 4;
    raw_vsock_send(&vsock, &packet, 0);
    if (raw_vsock_receive_op(&vsock, VIRTIO_VSOCK_OP_RW).len != 4) {
        attack_fail("not the 4 bytes that there is room for");
    }
}
