/* SPDX-License-Identifier: Apache-2.0 */
/* The available index moves back. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    raw_ring_run(&ring, 0);
    ring.avail->idx = 0;
    raw_ring_kick(&ring);
    raw_ring_wait(&ring);
}
