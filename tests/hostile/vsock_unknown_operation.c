/* SPDX-License-Identifier: Apache-2.0 */
/* An operation that there is not. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    packet.op++;
    raw_vsock_send(&vsock, &packet, 0);
    platform_wait(WAIT_COMPLETION);
}
