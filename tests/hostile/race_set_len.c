/* SPDX-License-Identifier: Apache-2.0 */
/* The file gets ever new lengths, and what is written, read and copied is within some of them only. */
#include "tests/hostile/race.h"
#include "tests/hostile/raw_offload.h"

static struct offload offload;

static void flip(unsigned int count)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_INSTAR_SET_LEN, VIRTIO_BLK_T_INSTAR_COPY, VIRTIO_BLK_T_OUT,
                                     VIRTIO_BLK_T_FLUSH};
    volatile struct virtio_blk_copy *copy = (volatile struct virtio_blk_copy *)(void *)offload.data;
    offload.request->header.type = types[count % 4];
    copy->len = 1 + count % 262144;
    /* Also the length that is set: the first 8 bytes of the argument. */
    copy->source_device = count & 64 ? 0 : count % 262144;
    /* Descriptor 1 has the argument. */
    offload.output.desc[1].len = count & 1 ? sizeof(struct virtio_blk_copy) : count & 2 ? 512 : 8;
}

void attack_run(struct runtime *runtime)
{
    offload_start(&offload, runtime, 65536);
    offload.request->header.type = VIRTIO_BLK_T_INSTAR_SET_LEN;
    raw_request_lay(&offload.output, offload.request, offload.data, sizeof(struct virtio_blk_copy), false);
    race_begin(flip);
    race_run(&offload.output, 0);
    attack_fail("all answered");
}
