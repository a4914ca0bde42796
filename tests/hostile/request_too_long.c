/* SPDX-License-Identifier: Apache-2.0 */
/* A read of more than 16 MiB, in segments that are as long as they may be, on a device that has so much. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    const uint16_t segments = 17;
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    volatile uint8_t *data = raw_memory(runtime, 1u << 20);
    raw_desc_set(&ring.desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    for (uint16_t i = 1; i <= segments; i++) {
        raw_desc_set(&ring.desc[i], data, 1u << 20, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, (uint16_t)(i + 1));
    }
    raw_desc_set(&ring.desc[segments + 1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_run(&ring, 0);
    attack_judge(request->status);
}
