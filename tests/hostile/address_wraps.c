/* SPDX-License-Identifier: Apache-2.0 */
/* Data whose end is at the beginning of the address space. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = 0xfffffffffffffe00ull;
    ring.desc[1].len = 0x400;
    raw_ring_run(&ring, 0);
}
