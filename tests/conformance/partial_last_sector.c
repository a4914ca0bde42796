/* SPDX-License-Identifier: Apache-2.0 */
/* A file that ends within a sector: the rest reads as zero, and writing it changes nothing. */
#include <string.h>

#include "tests/conformance/conformance.h"

static void read_check(struct raw_ring *ring, struct raw_request *request, uint8_t *data, uint64_t sector, uint32_t len)
{
    uint64_t off = sector * VIRTIO_BLK_SECTOR_LEN;
    uint64_t inside = file_len(ring) - off;
    request->header.sector = sector;
    memset(data, 0xee, len);
    CHECK(raw_request_run(ring, request, data, len, true) == VIRTIO_BLK_S_OK);
    CHECK(pattern_matches(data, off, inside));
    CHECK(is_zero(data + inside, len - inside));
}

void conformance_run(struct runtime *runtime)
{
    struct raw_ring input, output;
    raw_ring_open(&input, runtime, RAW_INPUT);
    uint64_t capacity = raw_capacity_sectors(&input);
    CHECK(file_len(&input) % VIRTIO_BLK_SECTOR_LEN != 0);
    CHECK(capacity == file_len(&input) / VIRTIO_BLK_SECTOR_LEN + 1);
    struct raw_request *read = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    read_check(&input, read, data, capacity - 1, 512);
    read_check(&input, read, data, capacity - 4, 2048);

    raw_ring_open(&output, runtime, RAW_OUTPUT);
    CHECK(file_len(&output) == file_len(&input));
    read_check(&input, read, data, capacity - 4, 2048);
    memset(data + file_len(&input) % VIRTIO_BLK_SECTOR_LEN + 1536, 0xee,
           VIRTIO_BLK_SECTOR_LEN - file_len(&input) % VIRTIO_BLK_SECTOR_LEN);
    struct raw_request *write = raw_request_make(runtime, VIRTIO_BLK_T_OUT, capacity - 4);
    CHECK(raw_request_run(&output, write, data, 2048, false) == VIRTIO_BLK_S_OK);
    read_check(&output, read, data, capacity - 4, 2048);
    CHECK(file_len(&output) == file_len(&input));
}
