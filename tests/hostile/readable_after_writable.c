/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor that the device reads behind one that it writes (2.7.4.2 forbids it). */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[2].flags = 0;
    raw_ring_run(&ring, 0);
}
