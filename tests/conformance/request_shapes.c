/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One read and one write, framed in every way that section 2.7.4 leaves to the driver: the device must make no
 * assumption about where descriptors begin and end.
 */
#include <string.h>

#include "tests/conformance/conformance.h"

#define SECTOR 8u
#define DATA_LEN 4096u
#define PIECES_MAX 300u

/* One request as bytes that lie one after the other; pieces of it become descriptors. */
struct frame {
    uint8_t *readable; /* header, and the data of a write */
    uint8_t *writable; /* the data of a read, and the status */
    uint32_t readable_len;
    uint32_t writable_len;
};

struct shape {
    const char *name;
    uint32_t readable[20]; /* lengths of descriptors; the last one is repeated up to the end */
    uint32_t writable[20];
};

/* Cuts a frame into descriptors and returns how many it took. `stride` is their distance in the table. */
static uint16_t cut(const struct frame *frame, const struct shape *shape, volatile struct virtq_desc *desc,
                    uint16_t first, int stride)
{
    struct {
        uint8_t *memory;
        uint32_t len;
        const uint32_t *lens;
        uint16_t flags;
    } parts[] = {
        {frame->readable, frame->readable_len, shape->readable, VIRTQ_DESC_F_NEXT},
        {frame->writable, frame->writable_len, shape->writable, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE},
    };
    uint16_t count = 0;
    uint16_t last = first;
    for (unsigned int i = 0; i < ARRAY_COUNT(parts); i++) {
        unsigned int k = 0;
        for (uint32_t off = 0; off < parts[i].len;) {
            uint32_t len = parts[i].lens[k];
            if (len == 0 || len > parts[i].len - off) {
                len = parts[i].len - off;
            }
            last = (uint16_t)(first + stride * count);
            raw_desc_set(&desc[last], parts[i].memory + off, len, parts[i].flags, (uint16_t)(last + stride));
            off += len;
            count++;
            k += k + 1 < ARRAY_COUNT(shape->readable) && parts[i].lens[k + 1] != 0;
        }
    }
    desc[last].flags &= (uint16_t)~VIRTQ_DESC_F_NEXT;
    return count;
}

static void header_set(struct frame *frame, uint32_t type, uint64_t sector)
{
    struct virtio_blk_request_header header = {.type = type, .sector = sector};
    memcpy(frame->readable, &header, sizeof(header));
}

static void read_check(struct raw_ring *ring, struct frame *frame, uint16_t head)
{
    struct virtq_used_elem used = raw_ring_run(ring, head);
    CHECK(used.id == head);
    CHECK(used.len == DATA_LEN + 1);
    CHECK(frame->writable[DATA_LEN] == VIRTIO_BLK_S_OK);
    CHECK(pattern_matches(frame->writable, SECTOR * VIRTIO_BLK_SECTOR_LEN, DATA_LEN));
}

static void read_prepare(struct frame *frame)
{
    header_set(frame, VIRTIO_BLK_T_IN, SECTOR);
    frame->readable_len = sizeof(struct virtio_blk_request_header);
    frame->writable_len = DATA_LEN + 1;
    memset(frame->writable, 0xee, DATA_LEN + 1);
}

static void write_prepare(struct frame *frame, uint8_t fill)
{
    header_set(frame, VIRTIO_BLK_T_OUT, SECTOR);
    frame->readable_len = sizeof(struct virtio_blk_request_header) + DATA_LEN;
    frame->writable_len = 1;
    memset(frame->readable + sizeof(struct virtio_blk_request_header), fill, DATA_LEN);
    frame->writable[0] = 0xee;
}

static void reads(struct runtime *runtime, struct frame *frame)
{
    static const struct shape shapes[] = {
        {"plain", {16}, {DATA_LEN, 1}},
        {"split header", {8, 8}, {DATA_LEN, 1}},
        {"header of single bytes", {1}, {DATA_LEN, 1}},
        {"status shares a descriptor with data", {16}, {DATA_LEN + 1}},
        {"status shares the last of several", {16}, {512, 3584, 1}},
        {"odd pieces", {3, 13}, {1, 510, 1, 1000, 7, 2577, 1}},
        {"pieces of a sector", {16}, {512}},
        {"small pieces to the end", {4}, {17}},
    };
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    volatile struct virtq_desc *table = raw_memory(runtime, PIECES_MAX * sizeof(*table));
    for (unsigned int i = 0; i < ARRAY_COUNT(shapes); i++) {
        read_prepare(frame);
        cut(frame, &shapes[i], ring.desc, 0, 1);
        read_check(&ring, frame, 0);

        read_prepare(frame);
        cut(frame, &shapes[i], ring.desc, RAW_RING_SIZE - 1, -1);
        read_check(&ring, frame, RAW_RING_SIZE - 1);

        read_prepare(frame);
        uint16_t count = cut(frame, &shapes[i], table, 0, 1);
        raw_desc_set(&ring.desc[7], table, count * (uint32_t)sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
        read_check(&ring, frame, 7);
    }
}

/* A table of descriptors out of order, with entries that are not used. */
static void scattered_table(struct runtime *runtime, struct frame *frame)
{
    static const struct shape shape = {"scattered", {16}, {1000, 1000, 1000, 1096, 1}};
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    read_prepare(frame);
    cut(frame, &shape, table, 0, 3);
    raw_desc_set(&ring.desc[0], table, 64 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    read_check(&ring, frame, 0);
}

/* As many segments as the device offers, every one of them in use. */
static void most_segments(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    uint32_t seg_max = raw_load(ring.registers_gpa, VIRTIO_MMIO_CONFIG + 12);
    CHECK(seg_max == 254);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 1);
    uint8_t *data = raw_memory(runtime, seg_max * 1024);
    volatile struct virtq_desc *table = raw_memory(runtime, RAW_RING_SIZE * sizeof(*table));
    for (int indirect = 0; indirect < 2; indirect++) {
        volatile struct virtq_desc *desc = indirect ? table : ring.desc;
        memset(data, 0, seg_max * 1024);
        raw_desc_set(&desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
        for (uint16_t i = 1; i <= seg_max; i++) {
            /* Apart from each other, so that they cannot become one. */
            raw_desc_set(&desc[i], data + (i - 1) * 1024, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
                         (uint16_t)(i + 1));
        }
        raw_desc_set(&desc[seg_max + 1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
        if (indirect) {
            raw_desc_set(&ring.desc[0], table, RAW_RING_SIZE * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
        }
        CHECK(raw_ring_run(&ring, 0).len == seg_max * 512 + 1);
        CHECK(request->status == VIRTIO_BLK_S_OK);
        for (uint32_t i = 0; i < seg_max; i++) {
            CHECK(pattern_matches(data + i * 1024, (i + 1) * 512, 512));
            CHECK(is_zero(data + i * 1024 + 512, 512));
        }
    }
}

static void writes(struct runtime *runtime, struct frame *frame)
{
    static const struct shape shapes[] = {
        {"plain", {16, DATA_LEN}, {1}},
        {"header and data in one", {16 + DATA_LEN}, {1}},
        {"header and half a sector in one", {16 + 256, DATA_LEN - 256}, {1}},
        {"split header that ends in data", {5, 100, 3000}, {1}},
        {"odd pieces", {15, 2, 1, 999, 33}, {1}},
    };
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, SECTOR);
    uint8_t *data = raw_memory(runtime, DATA_LEN);
    uint8_t fill = 1;
    for (unsigned int i = 0; i < ARRAY_COUNT(shapes); i++) {
        write_prepare(frame, ++fill);
        cut(frame, &shapes[i], ring.desc, 0, 1);
        struct virtq_used_elem used = raw_ring_run(&ring, 0);
        CHECK(used.len == 1);
        CHECK(frame->writable[0] == VIRTIO_BLK_S_OK);
        CHECK(raw_request_run(&ring, request, data, DATA_LEN, true) == VIRTIO_BLK_S_OK);
        for (unsigned int k = 0; k < DATA_LEN; k++) {
            CHECK(data[k] == fill);
        }
    }
}

void conformance_run(struct runtime *runtime)
{
    struct frame frame = {
        .readable = raw_memory(runtime, 2 * DATA_LEN),
        .writable = raw_memory(runtime, 2 * DATA_LEN),
    };
    reads(runtime, &frame);
    scattered_table(runtime, &frame);
    most_segments(runtime);
    writes(runtime, &frame);
}
