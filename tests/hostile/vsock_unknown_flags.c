/* SPDX-License-Identifier: Apache-2.0 */
/* Data with flags that mean nothing: the end of a message in a stream, and a bit of no message. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_RW);
    packet.len = 16;
    packet.flags = vsock.type == VIRTIO_VSOCK_TYPE_STREAM ? VIRTIO_VSOCK_SEQ_EOM : 4;
    raw_vsock_send(&vsock, &packet, 16);
    platform_wait(WAIT_COMPLETION);
}
