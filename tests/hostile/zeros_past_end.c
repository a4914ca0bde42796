/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for zeros behind the end of the device. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    struct raw_request *request =
        raw_request_make(runtime, VIRTIO_BLK_T_INSTAR_FIND_ZEROS, raw_capacity_sectors(&ring) - 7);
    request->header.argument = VIRTIO_BLK_ZEROS_ARGUMENT(12, 1);
    attack_judge(raw_request_run(&ring, request, raw_memory(runtime, LAYOUT_PAGE_LEN), 512, true));
}
