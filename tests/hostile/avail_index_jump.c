/* SPDX-License-Identifier: Apache-2.0 */
/* The available index runs further ahead than the queue is long. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    ring.avail->idx = (uint16_t)(ring.size + 1);
    raw_ring_kick(&ring);
    raw_ring_wait(&ring);
}
