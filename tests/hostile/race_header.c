/* SPDX-License-Identifier: Apache-2.0 */
/* Type and sector of a request change: reading and writing, inside and past the end. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static struct raw_request *request;

static void flip(unsigned int count)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_INSTAR_EXTENTS,
                                     VIRTIO_BLK_T_OUT};
    static const uint64_t sectors[] = {0, 1ull << 55, 1, UINT64_MAX};
    request->header.type = types[count % ARRAY_COUNT(types)];
    request->header.sector = sectors[count / 3 % ARRAY_COUNT(sectors)];
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_INPUT);
    request = raw_read_lay(&ring, runtime);
    race_begin(flip);
    race_run(&ring, 0);
}
