/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a port where nobody listens. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    packet.dst_port = 22;
    raw_vsock_expect_rst(&vsock, &packet);
}
