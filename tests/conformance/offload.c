/* SPDX-License-Identifier: Apache-2.0 */
/* SET_LEN and COPY (abi/virtio_blk.h): lengths, what is copied from where, and that holes stay holes. */
#include <string.h>

#include "tests/conformance/conformance.h"
#include "tests/hostile/raw_offload.h"

#define DATA_LEN (512u * 1024u)
#define MIB (1ull << 20)
/* Where zeros are looked for: a file system's block, so that holes show. */
#define BLOCK_LEN 65536u

static struct offload offload;
static uint8_t *data;

static uint32_t generation(void)
{
    return raw_load(offload.output.registers_gpa, VIRTIO_MMIO_CONFIG_GENERATION);
}

static uint32_t flags(const struct raw_ring *ring)
{
    return raw_load(ring->registers_gpa, VIRTIO_MMIO_CONFIG + VIRTIO_BLK_INSTAR_CONFIG_OFF + 8);
}

static void len_set(uint64_t len)
{
    uint32_t before = generation();
    CHECK(offload_set_len(&offload, len) == VIRTIO_BLK_S_OK);
    CHECK(generation() != before && generation() % 2 == 0);
    CHECK(file_len(&offload.output) == len);
    CHECK(raw_capacity_sectors(&offload.output) == (len + 511) / 512);
}

static uint8_t transfer(uint32_t type, uint64_t off, uint32_t len)
{
    offload.request->header.type = type;
    offload.request->header.sector = off / 512;
    return raw_request_run(&offload.output, offload.request, data, len, type != VIRTIO_BLK_T_OUT);
}

/* Reads whole sectors around [off, off + len) of the output; returns where the range's first byte is. */
static const uint8_t *output_read(uint64_t off, uint32_t len)
{
    uint64_t start = off / 512 * 512;
    uint32_t whole_len = (uint32_t)((off + len + 511) / 512 * 512 - start);
    CHECK(whole_len <= DATA_LEN);
    memset(data, 0xee, whole_len);
    CHECK(transfer(VIRTIO_BLK_T_IN, start, whole_len) == VIRTIO_BLK_S_OK);
    return data + (off - start);
}

static void copy_check(const struct virtio_blk_copy *copy)
{
    CHECK(offload_copy(&offload, copy) == VIRTIO_BLK_S_OK);
    for (uint64_t done_len = 0; done_len < copy->len;) {
        uint64_t left_len = copy->len - done_len;
        uint32_t len = left_len < DATA_LEN / 2 ? (uint32_t)left_len : DATA_LEN / 2;
        CHECK(pattern_matches(output_read(copy->target_off + done_len, len), copy->source_off + done_len, len));
        done_len += len;
    }
}

/* Whether [off, off + len) of the output is one hole, says the device. */
static bool is_hole(uint64_t off, uint64_t len)
{
    CHECK(transfer(VIRTIO_BLK_T_INSTAR_EXTENTS, off, 512) == VIRTIO_BLK_S_OK);
    struct virtio_blk_extent first;
    memcpy(&first, data + sizeof(struct virtio_blk_extents_head), sizeof(first));
    return first.kind == VIRTIO_BLK_EXTENT_HOLE && first.off + first.len >= off + len;
}

static void fill(uint64_t off, uint32_t len, uint8_t value)
{
    memset(data, value, len);
    CHECK(transfer(VIRTIO_BLK_T_OUT, off, len) == VIRTIO_BLK_S_OK);
}

static void filled_check(uint64_t off, uint32_t len, uint8_t value)
{
    const uint8_t *found = output_read(off, len);
    for (uint32_t i = 0; i < len; i++) {
        CHECK(found[i] == value);
    }
}

static void copies(void)
{
    uint64_t input_len = file_len(&offload.input);
    len_set(input_len);
    copy_check(&(struct virtio_blk_copy){.len = input_len});
    /* Beginning and end anywhere; bytes around it stay. */
    len_set(4 * MIB + 77);
    fill(2 * MIB, DATA_LEN, 0x5a);
    copy_check(&(struct virtio_blk_copy){.source_off = 1, .target_off = 2 * MIB + 4095, .len = 4098});
    filled_check(2 * MIB, 4095, 0x5a);
    filled_check(2 * MIB + 4095 + 4098, 4096, 0x5a);
    copy_check(&(struct virtio_blk_copy){.source_off = 12345, .target_off = 2 * MIB + 7, .len = 400001});
    copy_check(&(struct virtio_blk_copy){.source_off = input_len - 1, .target_off = 4 * MIB + 76, .len = 1});
    /* Within the output; the ranges touch. */
    copy_check(&(struct virtio_blk_copy){.len = 300000});
    CHECK(offload_copy(&offload, &(struct virtio_blk_copy){.source_device = 1, .target_off = 300000, .len = 300000}) ==
          VIRTIO_BLK_S_OK);
    CHECK(pattern_matches(output_read(300000, 300000), 0, 300000));
}

/* The source: data, a hole, data with zeros in it. */
static void zeros(void)
{
    const uint64_t source_off = 8 * MIB;
    const uint64_t target_off = 16 * MIB;
    len_set(0);
    len_set(24 * MIB);
    fill(source_off, BLOCK_LEN, 1);
    fill(source_off + 3 * BLOCK_LEN, BLOCK_LEN, 2);
    fill(source_off + 4 * BLOCK_LEN, BLOCK_LEN, 0);
    fill(source_off + 5 * BLOCK_LEN, BLOCK_LEN, 3);
    /* Something is there, and must go. */
    fill(target_off, 6 * BLOCK_LEN, 9);
    struct virtio_blk_copy copy = {.source_device = 1,
                                   .flags = VIRTIO_BLK_COPY_DETECT_ZEROS,
                                   .source_off = source_off,
                                   .target_off = target_off,
                                   .len = 6 * BLOCK_LEN,
                                   .zero_len = 4096};
    static const uint8_t expected[] = {1, 0, 0, 2, 0, 3};
    for (unsigned int round = 0; round < 2; round++) {
        CHECK(offload_copy(&offload, &copy) == VIRTIO_BLK_S_OK);
        for (unsigned int i = 0; i < 6; i++) {
            filled_check(copy.target_off + i * BLOCK_LEN, BLOCK_LEN, expected[i]);
            CHECK(is_hole(copy.target_off + i * BLOCK_LEN, BLOCK_LEN) == (expected[i] == 0));
        }
        /* Then to where nothing was written. */
        copy.target_off += MIB;
    }
}

/* Units of zeros: never written, written as zeros, with their last byte set, and data. */
static void found_zeros(void)
{
    const uint64_t off = 512;
    len_set(0);
    len_set(off + 20 * 4096);
    fill(off + 4096, 4096, 0);
    fill(off + 2 * 4096, 512, 1);
    fill(off + 4 * 4096 - 512, 512, 1);
    fill(off + 17 * 4096, 2 * 4096, 1);
    memset(data, 0xee, 4);
    offload.request->header.argument = VIRTIO_BLK_ZEROS_ARGUMENT(12, 20);
    CHECK(transfer(VIRTIO_BLK_T_INSTAR_FIND_ZEROS, off, 4) == VIRTIO_BLK_S_OK);
    /* Bits 2, 3, 17 and 18 are data; what is behind the answer stays. */
    CHECK(data[0] == 0xf3 && data[1] == 0xff && data[2] == 0x09 && data[3] == 0xee);
    offload.request->header.argument = VIRTIO_BLK_ZEROS_ARGUMENT(13, 8);
    CHECK(transfer(VIRTIO_BLK_T_INSTAR_FIND_ZEROS, off, 1) == VIRTIO_BLK_S_OK);
    CHECK(data[0] == 0xfd);
    offload.request->header.argument = 0;
}

void conformance_run(struct runtime *runtime)
{
    offload_open(&offload, runtime);
    data = raw_memory(runtime, DATA_LEN);
    /* Zeros are not found past the page cache. */
    const uint32_t finds_zeros = flags(&offload.input);
    CHECK(finds_zeros == 0 || finds_zeros == VIRTIO_BLK_INSTAR_FINDS_ZEROS);
    CHECK(flags(&offload.output) ==
          (VIRTIO_BLK_INSTAR_ZEROED | VIRTIO_BLK_INSTAR_RESIZABLE | VIRTIO_BLK_INSTAR_COPY_TARGET | finds_zeros));
    CHECK(file_len(&offload.output) == 0 && raw_capacity_sectors(&offload.output) == 0);
    copies();
    zeros();
    if (finds_zeros != 0) {
        found_zeros();
    }
    /* What is cut off is gone. */
    fill(0, 4096, 7);
    len_set(1000);
    CHECK(transfer(VIRTIO_BLK_T_IN, 1024, 512) == VIRTIO_BLK_S_IOERR);
    len_set(MIB);
    filled_check(0, 1000, 7);
    filled_check(1000, 100000, 0);
    /* The suite compares this with the input. */
    len_set(file_len(&offload.input));
    copy_check(&(struct virtio_blk_copy){.flags = VIRTIO_BLK_COPY_DETECT_ZEROS, .len = MIB + 1, .zero_len = 512});
}
