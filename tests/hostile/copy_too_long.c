/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of one byte more than a request may move, though both files have it. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, VIRTIO_BLK_COPY_LEN_MAX + 1);
    attack_judge(offload_copy(&offload, &(struct virtio_blk_copy){.len = VIRTIO_BLK_COPY_LEN_MAX + 1}));
}
