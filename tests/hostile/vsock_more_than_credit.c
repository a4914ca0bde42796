/* SPDX-License-Identifier: Apache-2.0 */
/* More data than the host has said that it takes. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.len = 0x40001;
    raw_vsock_send(&vsock, &packet, packet.len);
    platform_wait(WAIT_COMPLETION);
}
