/* SPDX-License-Identifier: Apache-2.0 */
/* A reset: its connections are gone, and nobody makes new ones. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_vsock_connect(&vsock);
    raw_store(vsock.receive.registers_gpa, VIRTIO_MMIO_STATUS, 0);
    raw_vsock_open(&vsock, runtime);
    struct virtio_vsock_header packet = raw_vsock_packet(&vsock, VIRTIO_VSOCK_OP_REQUEST);
    raw_vsock_expect_rst(&vsock, &packet);
}
