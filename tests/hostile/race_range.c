/* SPDX-License-Identifier: Apache-2.0 */
/* The range of a discard changes between inside and past the end. */
#include "tests/hostile/race.h"

static struct raw_ring ring;

static struct raw_request *request;

static void flip(unsigned int count)
{
    request->range.sector = count & 1 ? UINT64_MAX - 7 : 8;
    request->range.num_sectors = count & 2 ? UINT32_MAX : 8;
    request->header.type = count & 4 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES;
}

void attack_run(struct runtime *runtime)
{
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    request = raw_request_make(runtime, VIRTIO_BLK_T_DISCARD, 0);
    raw_request_lay(&ring, request, &request->range, sizeof(request->range), false);
    race_begin(flip);
    race_run(&ring, 0);
}
