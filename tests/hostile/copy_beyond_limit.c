/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of more than the job may write. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, 2u << 20);
    for (unsigned int i = 0; i < 4; i++) {
        attack_judge(offload_copy(&offload, &(struct virtio_blk_copy){.target_off = i * 1000, .len = 500000}));
    }
}
