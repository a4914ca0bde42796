/* SPDX-License-Identifier: Apache-2.0 */
/* A copy to the input. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, 4096);
    offload.output = offload.input;
    attack_judge(offload_copy(&offload, &(struct virtio_blk_copy){.source_device = 1, .len = 4096}));
}
