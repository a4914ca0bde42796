/* SPDX-License-Identifier: Apache-2.0 */
/* The length of an indirect table changes while the device walks it. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static void flip(unsigned int count)
{
    ring.desc[0].len = (count & 1 ? 3 : 256) * (uint32_t)sizeof(struct virtq_desc);
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    volatile struct virtq_desc *table = raw_memory(runtime, RAW_RING_SIZE * sizeof(*table));
    for (unsigned int i = 0; i < 3; i++) {
        table[i] = ring.desc[i];
    }
    raw_desc_set(&ring.desc[0], table, 3 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    race_begin(flip);
    race_run(&ring, 0);
}
