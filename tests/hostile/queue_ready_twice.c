/* SPDX-License-Identifier: Apache-2.0 */
/* A queue that is enabled while it is enabled. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&ring);
    raw_store(ring.registers_gpa, VIRTIO_MMIO_QUEUE_READY, 1);
}
