/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor table at the end of the address space. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    ring.desc_gpa = 0xfffffffffffffff0ull;
    raw_ring_enable(&ring);
}
