/* SPDX-License-Identifier: Apache-2.0 */
/* Data where none belongs. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    packet.len = 16;
    raw_vsock_send(&vsock, &packet, 16);
    platform_wait(WAIT_COMPLETION);
}
