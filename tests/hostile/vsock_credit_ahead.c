/* SPDX-License-Identifier: Apache-2.0 */
/* The guest has passed on what it was never sent. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    packet.fwd_cnt = 1;
    raw_vsock_send(&vsock, &packet, 0);
    platform_wait(WAIT_COMPLETION);
}
