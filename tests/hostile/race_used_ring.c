/* SPDX-License-Identifier: Apache-2.0 */
/* The used ring is overwritten while the device fills it: nothing that the device relies on is there. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count)
{
    ring.used->idx = (uint16_t)(count * 7);
    ring.used->ring[count % ring.size].id = UINT32_MAX;
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    race_begin(flip);
    for (unsigned int round = 0; round < RACE_ROUNDS; round++) {
        raw_ring_offer(&ring, 0);
        raw_ring_kick(&ring);
        for (unsigned int i = 0; i < 100; i++) {
            platform_relax();
        }
    }
}
