/* SPDX-License-Identifier: Apache-2.0 */
/* Kicks without end. Needs a time limit. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    for (;;) {
        raw_ring_kick(&ring);
    }
}
