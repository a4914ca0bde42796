/* SPDX-License-Identifier: Apache-2.0 */
/* A read of what was cut off. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, 8192);
    if (offload_set_len(&offload, 512) != VIRTIO_BLK_S_OK) {
        attack_fail("the output keeps its length");
    }
    offload.request->header.type = VIRTIO_BLK_T_IN;
    offload.request->header.sector = 1;
    attack_judge(raw_request_run(&offload.output, offload.request, offload.data, 512, true));
}
