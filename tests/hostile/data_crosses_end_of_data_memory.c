/* SPDX-License-Identifier: Apache-2.0 */
/* Data of which only the last byte is outside of the data memory. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = runtime->boot->arena_gpa + runtime->boot->arena_len - 511;
    raw_ring_run(&ring, 0);
}
