/* SPDX-License-Identifier: Apache-2.0 */
/* The length of a descriptor changes between lengths that are allowed, and some that are not. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count)
{
    static const uint32_t lens[] = {512, 65536, 1, 1u << 20, 0x200, 0x100200};
    ring.desc[1].len = lens[count % ARRAY_COUNT(lens)];
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].addr = (uint64_t)(uintptr_t)raw_memory(runtime, 2u << 20);
    race_begin(flip);
    race_run(&ring, 0);
}
