/* SPDX-License-Identifier: Apache-2.0 */
/* A packet that is shorter than a header. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_open(&vsock, runtime);
    raw_desc_set(&vsock.transmit.desc[0], vsock.packet, sizeof(struct virtio_vsock_header) - 1, 0, 0);
    raw_ring_run(&vsock.transmit, 0);
}
