/* SPDX-License-Identifier: Apache-2.0 */
/* A circle as long as the queue: no descriptor is met twice within its length. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    volatile uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    for (uint16_t i = 0; i < ring.size; i++) {
        raw_desc_set(&ring.desc[i], data, 16, VIRTQ_DESC_F_NEXT, (uint16_t)((i + 1) % ring.size));
    }
    raw_ring_run(&ring, 0);
}
