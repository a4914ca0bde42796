/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of a descriptor change: where the chain ends, who writes. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count)
{
    static const uint16_t flags[] = {
        VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
        VIRTQ_DESC_F_WRITE,
        VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
        VIRTQ_DESC_F_NEXT,
    };
    ring.desc[1].flags = flags[count % ARRAY_COUNT(flags)];
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    race_begin(flip);
    race_run(&ring, 0);
}
