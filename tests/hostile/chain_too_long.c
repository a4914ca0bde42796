/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of more descriptors than the longest queue has, in an indirect table. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    const uint16_t count = RAW_RING_SIZE + 1;
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    volatile struct virtq_desc *table = raw_memory(runtime, count * sizeof(*table));
    volatile uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    raw_desc_set(&table[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    for (uint16_t i = 1; i < count - 1; i++) {
        raw_desc_set(&table[i], data, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, (uint16_t)(i + 1));
    }
    raw_desc_set(&table[count - 1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    raw_desc_set(&ring.desc[0], table, count * (uint32_t)sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    raw_ring_run(&ring, 0);
}
