/* SPDX-License-Identifier: Apache-2.0 */
/* Zeros to be detected, but no length of them. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

/* A byte longer than the input. */
#define OUTPUT_LEN ((1u << 20) + 2u)

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, OUTPUT_LEN);
    attack_judge(offload_copy(&offload, &(struct virtio_blk_copy){.len = 4096, .flags = VIRTIO_BLK_COPY_DETECT_ZEROS}));
}
