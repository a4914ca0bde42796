/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests with random faults: each one is sound at first, then one or two fields of its chain get a value that
 * is likely to hurt. The seed is the configuration's queue depth, so that a run can be repeated.
 *
 * Any end is right, but a crash of the VMM.
 */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

#define REQUESTS 400u
#define DESCRIPTORS 8u
#define DATA_LEN (64u * 1024u)

static uint64_t state;

/* xorshift64 */
static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(next_random() >> 16) % limit;
}

static uint64_t hurtful_number(void)
{
    static const uint64_t numbers[] = {
        0,          1,          2,          3,          15,         16,
        17,         255,        256,        257,        511,        512,
        513,        4095,       4096,       4097,       0x7fff,     0x8000,
        0xffff,     1 << 20,    16u << 20,  0x7fffffff, 1ull << 31, 0xffffffff,
        1ull << 32, 1ull << 54, 1ull << 55, 1ull << 63, UINT64_MAX, UINT64_MAX - 511,
    };
    return numbers[below(ARRAY_COUNT(numbers))];
}

static uint64_t hurtful_address(const struct runtime *runtime)
{
    const uint64_t bases[] = {
        0,
        LAYOUT_BOOT_INFO_GPA,
        LAYOUT_PAGE_TABLES_GPA,
        LAYOUT_PROGRAM_GPA,
        LAYOUT_LOW_LEN,
        LAYOUT_REGISTERS_GPA,
        LAYOUT_DATA_GPA,
        runtime->boot->arena_gpa,
        runtime->boot->arena_gpa + runtime->boot->arena_len,
        UINT64_MAX,
    };
    return bases[below(ARRAY_COUNT(bases))] + (below(2) ? hurtful_number() : -hurtful_number());
}

static volatile struct virtq_desc *lay_sound(struct raw_ring *ring, struct raw_request *request, uint8_t *data,
                                             volatile struct virtq_desc *table)
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH,          VIRTIO_BLK_T_GET_ID,
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_INSTAR_EXTENTS, VIRTIO_BLK_T_INSTAR_FIND_ZEROS,
    };
    bool is_indirect = below(2);
    volatile struct virtq_desc *desc = is_indirect ? table : ring->desc;
    uint16_t data_flags = (uint16_t)(VIRTQ_DESC_F_NEXT | (below(2) ? VIRTQ_DESC_F_WRITE : 0));
    uint16_t segments = (uint16_t)below(DESCRIPTORS - 1);
    request->header.type = types[below(ARRAY_COUNT(types))];
    request->header.sector = below(64);
    request->range.sector = below(64);
    request->range.num_sectors = below(16);
    raw_desc_set(&desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, 1);
    for (uint16_t i = 1; i <= segments; i++) {
        raw_desc_set(&desc[i], data + 4096 * i, 512u << below(4), data_flags, (uint16_t)(i + 1));
    }
    if (segments == 1 && data_flags == VIRTQ_DESC_F_NEXT) {
        raw_desc_set(&desc[1], &request->range, sizeof(request->range), data_flags, 2);
    }
    raw_desc_set(&desc[segments + 1], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
    if (is_indirect) {
        raw_desc_set(&ring->desc[0], table, DESCRIPTORS * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    }
    return desc;
}

static void spoil(const struct runtime *runtime, struct raw_request *request, volatile struct virtq_desc *desc)
{
    desc += below(DESCRIPTORS);
    switch (below(16)) {
    case 0:
        desc->addr = hurtful_address(runtime);
        break;
    case 1:
        desc->len = (uint32_t)hurtful_number();
        break;
    case 2:
        desc->flags = (uint16_t)below(8);
        break;
    case 3:
        desc->next = (uint16_t)hurtful_number();
        break;
    case 4:
    case 5:
        request->header.type = (uint32_t)hurtful_number();
        break;
    case 6:
    case 7:
    case 8:
        request->header.sector = hurtful_number();
        break;
    case 9:
    case 10:
        request->range.sector = hurtful_number();
        break;
    case 11:
    case 12:
        request->range.num_sectors = (uint32_t)hurtful_number();
        break;
    default:
        request->range.flags = (uint32_t)hurtful_number();
        break;
    }
}

void attack_run(struct runtime *runtime)
{
    static struct raw_ring rings[2];
    state = 0x9e3779b97f4a7c15ull * (attack_config()->queue_depth + 1u);
    raw_ring_open(&rings[0], runtime, RAW_INPUT);
    raw_ring_open(&rings[1], runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    uint8_t *data = raw_memory(runtime, DATA_LEN);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    for (unsigned int i = 0; i < REQUESTS; i++) {
        struct raw_ring *ring = &rings[below(2)];
        volatile struct virtq_desc *desc = lay_sound(ring, request, data, table);
        if (i >= 20) {
            spoil(runtime, request, desc);
        }
        raw_ring_run(ring, 0);
    }
}
