/* SPDX-License-Identifier: Apache-2.0 */
/* A direct chain that goes on in an indirect table, together longer than the longest queue. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    volatile struct virtq_desc *table = raw_memory(runtime, RAW_RING_SIZE * sizeof(*table));
    volatile uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    const uint16_t last = RAW_RING_SIZE - 1;
    raw_desc_set(&ring.desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    for (uint16_t i = 1; i < last; i++) {
        raw_desc_set(&ring.desc[i], data, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, (uint16_t)(i + 1));
    }
    raw_desc_set(&ring.desc[last], table, RAW_RING_SIZE * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    for (uint16_t i = 0; i < last; i++) {
        raw_desc_set(&table[i], data, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, (uint16_t)(i + 1));
    }
    raw_desc_set(&table[last], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_run(&ring, 0);
}
