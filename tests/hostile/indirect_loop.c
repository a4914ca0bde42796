/* SPDX-License-Identifier: Apache-2.0 */
/* An indirect table whose descriptors go round in a circle. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    volatile uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    raw_desc_set(&table[0], data, 16, VIRTQ_DESC_F_NEXT, 1);
    raw_desc_set(&table[1], data, 512, VIRTQ_DESC_F_NEXT, 0);
    raw_desc_set(&ring.desc[0], table, 2 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    raw_ring_run(&ring, 0);
}
