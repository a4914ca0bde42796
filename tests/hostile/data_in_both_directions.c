/* SPDX-License-Identifier: Apache-2.0 */
/* A request with data for the device and room for data from it. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    volatile uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    raw_desc_set(&ring.desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    raw_desc_set(&ring.desc[1], data, 512, VIRTQ_DESC_F_NEXT, 2);
    raw_desc_set(&ring.desc[2], data, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 3);
    raw_desc_set(&ring.desc[3], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_run(&ring, 0);
}
