/* SPDX-License-Identifier: Apache-2.0 */
/* A kick of a queue that the device does not have. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    ring.index = 77;
    raw_ring_kick(&ring);
}
