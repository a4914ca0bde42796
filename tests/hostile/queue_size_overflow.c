/* SPDX-License-Identifier: Apache-2.0 */
/* A queue size whose length in bytes overflows 32 bits. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    ring.size = 0x10000000;
    raw_ring_enable(&ring);
}
