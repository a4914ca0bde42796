/* SPDX-License-Identifier: Apache-2.0 */
/* One sector more than the device allows in one request, on a device that has so many. */
#include <stddef.h>

#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

#define LIMIT (VIRTIO_MMIO_CONFIG + (uint32_t)offsetof(struct virtio_blk_config, max_write_zeroes_sectors))

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_WRITE_ZEROES, 0);
    uint32_t limit_sectors = raw_load(ring.registers_gpa, LIMIT);
    request->range.num_sectors = limit_sectors;
    if (limit_sectors >= raw_capacity_sectors(&ring) ||
        raw_request_run(&ring, request, &request->range, sizeof(request->range), false) != VIRTIO_BLK_S_OK) {
        attack_fail("as many sectors as the device allows are not served");
    }
    request->range.num_sectors++;
    attack_judge(raw_request_run(&ring, request, &request->range, sizeof(request->range), false));
}
