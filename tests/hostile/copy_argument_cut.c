/* SPDX-License-Identifier: Apache-2.0 */
/* A copy whose argument is a byte short. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, 4096);
    offload.request->header.type = VIRTIO_BLK_T_INSTAR_COPY;
    *(struct virtio_blk_copy *)offload.data = (struct virtio_blk_copy){.len = 4096};
    attack_judge(
        raw_request_run(&offload.output, offload.request, offload.data, sizeof(struct virtio_blk_copy) - 1, false));
}
