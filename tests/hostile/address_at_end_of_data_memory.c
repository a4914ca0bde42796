/* SPDX-License-Identifier: Apache-2.0 */
/* Data that begins where the data memory ends. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = runtime->boot->arena_gpa + runtime->boot->arena_len;
    raw_ring_run(&ring, 0);
}
