/* SPDX-License-Identifier: Apache-2.0 */
/* A message that grows and grows. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.len = 32768;
    raw_vsock_send(&vsock, &packet, packet.len);
    raw_vsock_send(&vsock, &packet, packet.len);
    packet.len = 1;
    raw_vsock_send(&vsock, &packet, 1);
    platform_wait(WAIT_COMPLETION);
}
