/* SPDX-License-Identifier: Apache-2.0 */
/* The driver configures a queue that the device does not have. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    ring.index = 0xffffffff;
    raw_ring_enable(&ring);
}
