/* SPDX-License-Identifier: Apache-2.0 */
/* A discard that begins in the last sector and ends behind it. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_DISCARD, 0);
    request->range.sector = raw_capacity_sectors(&ring) - 1;
    request->range.num_sectors = 2;
    attack_judge(raw_request_run(&ring, request, &request->range, sizeof(request->range), false));
}
