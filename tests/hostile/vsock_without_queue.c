/* SPDX-License-Identifier: Apache-2.0 */
/* The driver is ready, but can receive nothing. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring transmit;
    raw_ring_init(&transmit, runtime, RAW_INPUT, VIRTIO_VSOCK_QUEUE_TRANSMIT);
    raw_negotiate(transmit.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&transmit);
    raw_start(transmit.registers_gpa);
}
