/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/sectors.h"

#include <string.h>

void sectors_write(struct runtime *runtime, uint64_t off, const void *content, uint64_t len)
{
    static struct raw_ring ring;
    static bool is_open;
    if (!is_open) {
        raw_ring_open(&ring, runtime, RAW_INPUT);
        is_open = true;
    }
    void *sector = raw_memory(runtime, SECTOR_DISK_SECTOR_LEN);
    memcpy(sector, content, len);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_OUT, off / SECTOR_DISK_SECTOR_LEN);
    raw_request_run(&ring, request, sector, SECTOR_DISK_SECTOR_LEN, false);
}
