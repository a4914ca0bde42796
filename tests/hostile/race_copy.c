/* SPDX-License-Identifier: Apache-2.0 */
/* A copy's argument changes between sense and nonsense, and between a copy and another length. */
#include "tests/hostile/race.h"
#include "tests/hostile/raw_offload.h"

#define OUTPUT_LEN (1u << 20)

static struct offload offload;

static void flip(unsigned int count)
{
    volatile struct virtio_blk_copy *copy = (volatile struct virtio_blk_copy *)(void *)offload.data;
    copy->source_device = count & 1 ? 1 : 0;
    copy->source_off = count & 2 ? UINT64_MAX - 7 : 8;
    copy->target_off = count & 4 ? OUTPUT_LEN - 1 : 4096;
    copy->len = count & 8 ? UINT64_MAX : 4096;
    copy->flags = count & 16 ? VIRTIO_BLK_COPY_DETECT_ZEROS : 0;
    copy->zero_len = count & 16 ? 4096 : 0;
}

void attack_run(struct runtime *runtime)
{
    offload_start(&offload, runtime, OUTPUT_LEN);
    offload.request->header.type = VIRTIO_BLK_T_INSTAR_COPY;
    raw_request_lay(&offload.output, offload.request, offload.data, sizeof(struct virtio_blk_copy), false);
    race_begin(flip);
    race_run(&offload.output, 0);
    attack_fail("all answered");
}
