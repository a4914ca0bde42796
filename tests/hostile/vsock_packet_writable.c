/* SPDX-License-Identifier: Apache-2.0 */
/* A packet with a buffer for the device to write. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_desc_set(&vsock.transmit.desc[0], vsock.packet, sizeof(struct virtio_vsock_header), VIRTQ_DESC_F_NEXT, 1);
    raw_desc_set(&vsock.transmit.desc[1], vsock.received, 64, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_run(&vsock.transmit, 0);
}
