/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a stack, which is no memory for devices. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = LAYOUT_STACK_BOTTOM_GPA(0);
    raw_ring_run(&ring, 0);
}
