/* SPDX-License-Identifier: Apache-2.0 */
/* A discard on the input. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_DISCARD, 0);
    request->range.num_sectors = 1;
    attack_judge(raw_request_run(&ring, request, &request->range, sizeof(request->range), false));
}
