/* SPDX-License-Identifier: Apache-2.0 */
/* The header says a byte more than there is. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.len = 17;
    raw_vsock_send(&vsock, &packet, 16);
    platform_wait(WAIT_COMPLETION);
}
