/* SPDX-License-Identifier: Apache-2.0 */
/* The available index jumps while the device drains the queue. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count)
{
    if ((count & 0x3ffff) == 0x3ffff) {
        ring.avail->idx = (uint16_t)(ring.avail->idx + 1000);
    } else {
        ring.avail->idx = (uint16_t)(ring.avail->idx + (count & 1));
    }
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    race_begin(flip);
    for (unsigned int round = 0; round < RACE_ROUNDS; round++) {
        raw_ring_kick(&ring);
    }
}
