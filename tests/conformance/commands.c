/* SPDX-License-Identifier: Apache-2.0 */
/* Requests other than reads and writes (5.2.6), and requests of the private feature (abi/virtio_blk.h). */
#include <string.h>

#include "tests/conformance/conformance.h"

#define DATA_LEN 65536u

static struct raw_ring input, output;
static struct raw_request *request;
static uint8_t *data;

static uint8_t run(struct raw_ring *ring, uint32_t type, uint64_t sector, uint32_t len, bool device_writes)
{
    request->header.type = type;
    request->header.sector = sector;
    return raw_request_run(ring, request, data, len, device_writes);
}

static uint8_t run_range(uint32_t type, uint64_t sector, uint32_t num_sectors, uint32_t flags)
{
    request->header.type = type;
    request->header.sector = 0;
    request->range.sector = sector;
    request->range.num_sectors = num_sectors;
    request->range.flags = flags;
    return raw_request_run(&output, request, &request->range, sizeof(request->range), false);
}

/* The answer of GET_ID: 20 bytes, ended by zeros when it is shorter (5.2.6.1). */
static void id_check(struct raw_ring *ring, const char *id)
{
    memset(data, 0xee, 32);
    CHECK(run(ring, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_LEN, true) == VIRTIO_BLK_S_OK);
    CHECK(memcmp(data, id, strlen(id)) == 0);
    CHECK(is_zero(data + strlen(id), VIRTIO_BLK_ID_LEN - strlen(id)));
    CHECK(data[VIRTIO_BLK_ID_LEN] == 0xee);
}

static void fill(uint64_t sector, uint32_t len)
{
    memset(data, 0x55, len);
    CHECK(run(&output, VIRTIO_BLK_T_OUT, sector, len, false) == VIRTIO_BLK_S_OK);
}

/* Sectors [from, to) of the first 64 read as zero, the others as they were filled. */
static void zeros_check(uint32_t from, uint32_t to)
{
    CHECK(run(&output, VIRTIO_BLK_T_IN, 0, 64 * 512, true) == VIRTIO_BLK_S_OK);
    for (uint32_t i = 0; i < 64; i++) {
        if (i >= from && i < to) {
            CHECK(is_zero(data + i * 512, 512));
        } else {
            CHECK(data[i * 512] == 0x55 && data[i * 512 + 511] == 0x55);
        }
    }
}

static void zeroing(void)
{
    fill(0, 64 * 512);
    CHECK(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 0) == VIRTIO_BLK_S_OK);
    zeros_check(8, 24);
    fill(0, 64 * 512);
    CHECK(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 59, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) == VIRTIO_BLK_S_OK);
    zeros_check(3, 62);
    fill(0, 64 * 512);
    CHECK(run_range(VIRTIO_BLK_T_DISCARD, 8, 16, 0) == VIRTIO_BLK_S_OK);
    /* What was discarded may read as anything; what was not is untouched. */
    CHECK(run(&output, VIRTIO_BLK_T_IN, 0, 8 * 512, true) == VIRTIO_BLK_S_OK);
    CHECK(data[0] == 0x55 && data[8 * 512 - 1] == 0x55);
    CHECK(run(&output, VIRTIO_BLK_T_IN, 24, 8 * 512, true) == VIRTIO_BLK_S_OK);
    CHECK(data[0] == 0x55 && data[8 * 512 - 1] == 0x55);
    /* Up to the end, where the last sector is partial. */
    uint32_t capacity = raw_capacity_sectors(&output);
    CHECK(run_range(VIRTIO_BLK_T_WRITE_ZEROES, capacity - 1, 1, 0) == VIRTIO_BLK_S_OK);
    CHECK(run_range(VIRTIO_BLK_T_DISCARD, capacity - 1, 1, 0) == VIRTIO_BLK_S_OK);
    CHECK(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, capacity, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) == VIRTIO_BLK_S_OK);
    CHECK(run(&output, VIRTIO_BLK_T_IN, capacity - 64, 64 * 512, true) == VIRTIO_BLK_S_OK);
    CHECK(is_zero(data, 64 * 512));
}

/* The extents of the input cover it without a gap, and hold what they say. */
static void extents(void)
{
    uint64_t off = 0;
    while (off < file_len(&input)) {
        CHECK(run(&input, VIRTIO_BLK_T_INSTAR_EXTENTS, off / 512, DATA_LEN, true) == VIRTIO_BLK_S_OK);
        struct virtio_blk_extents_head head;
        memcpy(&head, data, sizeof(head));
        CHECK(head.count > 0);
        for (uint32_t i = 0; i < head.count; i++) {
            struct virtio_blk_extent extent;
            memcpy(&extent, data + sizeof(head) + i * sizeof(extent), sizeof(extent));
            CHECK(extent.off == off);
            CHECK(extent.len > 0 && extent.len <= file_len(&input) - off);
            /* The pattern has no word that is zero. */
            CHECK(extent.kind == VIRTIO_BLK_EXTENT_DATA);
            off += extent.len;
        }
    }
    CHECK(off == file_len(&input));
    /* At the end there are none. */
    CHECK(run(&input, VIRTIO_BLK_T_INSTAR_EXTENTS, raw_capacity_sectors(&input), 512, true) == VIRTIO_BLK_S_OK);
    CHECK(is_zero(data, 4));
}

/* Without the feature, the device knows no such request. */
static void not_negotiated(void)
{
    const uint64_t registers_gpa = output.registers_gpa;
    CHECK(raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1));
    output.avail->idx = 0;
    output.used->idx = 0;
    output.taken_idx = 0;
    raw_ring_enable(&output);
    raw_start(registers_gpa);
    CHECK(run(&output, VIRTIO_BLK_T_INSTAR_EXTENTS, 0, 512, true) == VIRTIO_BLK_S_UNSUPP);
    CHECK(run(&output, VIRTIO_BLK_T_FLUSH, 0, 0, false) == VIRTIO_BLK_S_UNSUPP);
    CHECK(run_range(VIRTIO_BLK_T_DISCARD, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
    CHECK(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0) == VIRTIO_BLK_S_UNSUPP);
    /* These need none. */
    CHECK(run(&output, VIRTIO_BLK_T_IN, 0, 512, true) == VIRTIO_BLK_S_OK);
    id_check(&output, "output");
}

void conformance_run(struct runtime *runtime)
{
    raw_ring_open(&input, runtime, RAW_INPUT);
    raw_ring_open(&output, runtime, RAW_OUTPUT);
    request = raw_request_make(runtime, 0, 0);
    data = raw_memory(runtime, DATA_LEN);
    id_check(&input, "input");
    id_check(&output, "output");
    CHECK(run(&output, VIRTIO_BLK_T_FLUSH, 0, 0, false) == VIRTIO_BLK_S_OK);
    CHECK(run(&input, 0x7777, 0, 512, true) == VIRTIO_BLK_S_UNSUPP);
    /* The device still works after it. */
    CHECK(run(&input, VIRTIO_BLK_T_IN, 0, 512, true) == VIRTIO_BLK_S_OK);
    zeroing();
    extents();
    not_negotiated();
}
