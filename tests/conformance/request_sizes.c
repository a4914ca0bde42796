/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of every power of two from 512 bytes to 16 MiB, and some between, at aligned and odd sectors. At the
 * end the output is the input, which the host compares.
 */
#include <string.h>

#include "base/checked.h"
#include "tests/conformance/conformance.h"

#define LEN_MAX (16u << 20)
#define SEGMENT_LEN (1u << 20)

static uint8_t *data;

/* Moves `len` bytes between `data` and the device, in segments as long as they may be. */
static void transfer(struct raw_ring *ring, struct raw_request *request, uint32_t type, uint64_t sector, uint32_t len)
{
    bool device_writes = type == VIRTIO_BLK_T_IN;
    uint16_t flags = (uint16_t)(VIRTQ_DESC_F_NEXT | (device_writes ? VIRTQ_DESC_F_WRITE : 0));
    request->header.type = type;
    request->header.sector = sector;
    request->status = 0xff;
    raw_desc_set(&ring->desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    uint16_t next = 1;
    for (uint32_t off = 0; off < len; off += SEGMENT_LEN, next++) {
        uint32_t part_len = (uint32_t)min_u64(SEGMENT_LEN, len - off);
        raw_desc_set(&ring->desc[next], data + off, part_len, flags, (uint16_t)(next + 1));
    }
    raw_desc_set(&ring->desc[next], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    CHECK(raw_ring_run(ring, 0).len == (device_writes ? len : 0) + 1);
    CHECK(request->status == VIRTIO_BLK_S_OK);
}

static void read_and_check(struct raw_ring *ring, struct raw_request *request, uint64_t sector, uint32_t len)
{
    memset(data, 0xee, len);
    transfer(ring, request, VIRTIO_BLK_T_IN, sector, len);
    CHECK(pattern_matches(data, sector * VIRTIO_BLK_SECTOR_LEN, len));
}

void conformance_run(struct runtime *runtime)
{
    static struct raw_ring input, output;
    raw_ring_open(&input, runtime, RAW_INPUT);
    raw_ring_open(&output, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    data = raw_memory(runtime, LEN_MAX);
    for (uint32_t len = 512; len <= LEN_MAX; len *= 2) {
        read_and_check(&input, request, 0, len);
        read_and_check(&input, request, 3, len);
        transfer(&output, request, VIRTIO_BLK_T_OUT, 3, len);
        read_and_check(&output, request, 3, len);
    }
    read_and_check(&input, request, 1, 512 * 3);
    read_and_check(&input, request, 5, SEGMENT_LEN + 512);
    read_and_check(&input, request, 2, LEN_MAX - 512);

    /* The rest of the file, its partial last sector included. */
    uint64_t capacity = raw_capacity_sectors(&input);
    CHECK(capacity == raw_capacity_sectors(&output));
    for (uint64_t sector = 0; sector < capacity;) {
        uint64_t left = min_u64(capacity - sector, 2048);
        transfer(&input, request, VIRTIO_BLK_T_IN, sector, (uint32_t)(left * VIRTIO_BLK_SECTOR_LEN));
        transfer(&output, request, VIRTIO_BLK_T_OUT, sector, (uint32_t)(left * VIRTIO_BLK_SECTOR_LEN));
        sector += left;
    }
}
