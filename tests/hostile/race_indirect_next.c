/* SPDX-License-Identifier: Apache-2.0 */
/* A link in an indirect table changes: the chain is long, short, or goes out of the table. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static volatile struct virtq_desc *table;

static void flip(unsigned int count)
{
    static const uint16_t nexts[] = {2, 2, 254, 2, 2, 100};
    table[1].next = (count & 0xffff) == 0xffff ? 256 : nexts[count % ARRAY_COUNT(nexts)];
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request = raw_read_lay(&ring, runtime);
    table = raw_memory(runtime, RAW_RING_SIZE * sizeof(*table));
    for (uint16_t i = 0; i < RAW_RING_SIZE; i++) {
        table[i] = ring.desc[1];
        table[i].next = (uint16_t)(i + 1);
    }
    table[0] = ring.desc[0];
    raw_desc_set(&table[RAW_RING_SIZE - 1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    raw_desc_set(&ring.desc[0], table, RAW_RING_SIZE * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    race_begin(flip);
    race_run(&ring, 0);
}
