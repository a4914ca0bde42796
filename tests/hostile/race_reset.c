/* SPDX-License-Identifier: Apache-2.0 */
/* One vCPU resets and configures the device while the other one uses it. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count UNUSED)
{
    raw_store(ring.registers_gpa, VIRTIO_MMIO_STATUS, 0);
    for (unsigned int i = 0; i < 500; i++) {
        platform_relax();
    }
    ring.avail->idx = 0;
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    race_begin(flip);
    for (unsigned int round = 0; round < RACE_ROUNDS; round++) {
        raw_ring_offer(&ring, 0);
        raw_ring_kick(&ring);
    }
}
