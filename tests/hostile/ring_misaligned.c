/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor table at an odd address. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    ring.desc_gpa += 1;
    raw_ring_enable(&ring);
}
