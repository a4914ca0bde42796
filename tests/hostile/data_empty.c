/* SPDX-License-Identifier: Apache-2.0 */
/* A write of nothing. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_OUT, 0);
    attack_judge(raw_request_run(&ring, request, raw_memory(runtime, LAYOUT_PAGE_LEN), 0, false));
}
