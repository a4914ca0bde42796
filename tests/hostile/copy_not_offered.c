/* SPDX-License-Identifier: Apache-2.0 */
/* A copy on a device that takes none. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_open(&offload, runtime);
    attack_judge(offload_copy(&offload, &(struct virtio_blk_copy){.len = 4096}));
}
