/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for zeros in more units than one request can have, for which there is room in the answer. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_INSTAR_FIND_ZEROS, 0);
    request->header.argument = VIRTIO_BLK_ZEROS_ARGUMENT(12, 0xffffff);
    attack_judge(raw_request_run(&ring, request, raw_memory(runtime, LAYOUT_PAGE_LEN), 4096, true));
}
