/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "The device MUST handle the case of zero or more normal chained descriptors followed by a single descriptor with
 * flags&VIRTQ_DESC_F_INDIRECT" (2.7.5.3.2).
 */
#include "tests/conformance/conformance.h"

#define DATA_LEN 4096u

void conformance_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    uint8_t *data = raw_memory(runtime, DATA_LEN);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 8);

    /* One descriptor before the table. */
    raw_desc_set(&ring.desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    raw_desc_set(&ring.desc[1], table, 2 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc_set(&table[0], data, DATA_LEN, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
    raw_desc_set(&table[1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    CHECK(raw_ring_run(&ring, 0).len == DATA_LEN + 1);
    CHECK(request->status == VIRTIO_BLK_S_OK);
    CHECK(pattern_matches(data, 8 * VIRTIO_BLK_SECTOR_LEN, DATA_LEN));

    /* Two of them, and data on both sides. */
    request->status = 0xff;
    request->header.sector = 1;
    raw_desc_set(&ring.desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    raw_desc_set(&ring.desc[1], data, 100, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
    raw_desc_set(&ring.desc[2], table, 2 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    raw_desc_set(&table[0], data + 100, DATA_LEN - 100, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
    CHECK(raw_ring_run(&ring, 0).len == DATA_LEN + 1);
    CHECK(request->status == VIRTIO_BLK_S_OK);
    CHECK(pattern_matches(data, 1 * VIRTIO_BLK_SECTOR_LEN, DATA_LEN));
}
