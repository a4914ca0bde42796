/* SPDX-License-Identifier: Apache-2.0 */
/* Data so long that its end comes out in data memory again. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = LAYOUT_DATA_GPA - 0x1000;
    ring.desc[1].len = 0xfffff000;
    raw_ring_run(&ring, 0);
}
