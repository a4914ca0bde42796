/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a descriptor changes between memory and nowhere. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static volatile uint8_t *data;

static void flip(unsigned int count)
{
    ring.desc[1].addr = (count & 1023) == 1023 ? 0xfffffffffffff000ull : (uint64_t)(uintptr_t)data;
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    race_begin(flip);
    race_run(&ring, 0);
}
