/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, the status handshake, feature negotiation and reset (3.1.1, 4.2.2, 4.2.3, 5.2.3, 5.2.4). */
#include <stddef.h>

#include "tests/conformance/conformance.h"

#define BOTH                                                                                                           \
    (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | \
     VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_MQ | VIRTIO_BLK_F_INSTAR)
#define WRITABLE (VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)
#define CONFIG(field) (VIRTIO_MMIO_CONFIG + (uint32_t)offsetof(struct virtio_blk_config, field))

static void identity(uint64_t registers_gpa)
{
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_MAGIC_VALUE) == VIRTIO_MMIO_MAGIC);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_VERSION) == 2);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_DEVICE_ID_BLOCK);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_STATUS) == 0);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_INTERRUPT_STATUS) == 0);
}

static void features(uint64_t registers_gpa, uint64_t expected)
{
    CHECK(raw_features(registers_gpa) == expected);
    /* There are no bits behind the 64. */
    raw_store(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES) == 0);
    raw_store(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES) == 0);

    CHECK(!raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1 | 1ull << 63));
    CHECK(!raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1 | 1ull << 34)); /* packed rings */
    CHECK(!raw_negotiate(registers_gpa, expected & ~VIRTIO_F_VERSION_1));
    CHECK(!raw_negotiate(registers_gpa, 0));
    CHECK(raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1));
    CHECK(raw_negotiate(registers_gpa, expected));
    /* What is negotiated does not change any more. */
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    CHECK((raw_load(registers_gpa, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK) != 0);
}

static void status(uint64_t registers_gpa)
{
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, 0);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_STATUS) == 0);
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_STATUS) == VIRTIO_STATUS_ACKNOWLEDGE);
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_STATUS) == (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER));
    /* The device's own bit cannot be set by a driver. */
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_NEEDS_RESET);
    CHECK((raw_load(registers_gpa, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET) == 0);
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, 0);
}

static void queue_registers(uint64_t registers_gpa, uint32_t queues)
{
    for (uint32_t i = 0; i < queues; i++) {
        raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_SEL, i);
        CHECK(raw_load(registers_gpa, VIRTIO_MMIO_QUEUE_NUM_MAX) == RAW_RING_SIZE);
        CHECK(raw_load(registers_gpa, VIRTIO_MMIO_QUEUE_READY) == 0);
    }
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_SEL, queues);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0);
}

static void configuration(struct runtime *runtime, enum raw_device device)
{
    uint64_t registers_gpa = raw_registers(runtime, device);
    CHECK(raw_load(registers_gpa, CONFIG(size_max)) == 1u << 20);
    CHECK(raw_load(registers_gpa, CONFIG(seg_max)) == RAW_RING_SIZE - 2);
    CHECK(raw_load(registers_gpa, CONFIG(blk_size)) == (device == RAW_INPUT ? 4096 : 1024));
    CHECK(platform_register_read16(registers_gpa + CONFIG(num_queues)) == runtime->boot->vcpu_count);
    uint32_t discard = raw_load(registers_gpa, CONFIG(max_discard_sectors));
    uint32_t zeroes = raw_load(registers_gpa, CONFIG(max_write_zeroes_sectors));
    CHECK((discard > 0) == (device == RAW_OUTPUT) && (zeroes > 0) == (device == RAW_OUTPUT));
    CHECK(raw_load(registers_gpa, VIRTIO_MMIO_CONFIG_GENERATION) ==
          raw_load(registers_gpa, VIRTIO_MMIO_CONFIG_GENERATION));
}

/* A reset forgets everything, and leads to a device that works as before. */
static void reset(struct runtime *runtime, enum raw_device device)
{
    struct raw_ring ring;
    uint8_t *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    for (unsigned int round = 0; round < 3; round++) {
        raw_ring_open(&ring, runtime, device);
        CHECK(raw_load(ring.registers_gpa, VIRTIO_MMIO_QUEUE_READY) == 1);
        CHECK(raw_request_run(&ring, request, data, 512, true) == VIRTIO_BLK_S_OK);
        raw_store(ring.registers_gpa, VIRTIO_MMIO_STATUS, 0);
        CHECK(raw_load(ring.registers_gpa, VIRTIO_MMIO_STATUS) == 0);
        CHECK(raw_load(ring.registers_gpa, VIRTIO_MMIO_QUEUE_READY) == 0);
        CHECK(raw_load(ring.registers_gpa, VIRTIO_MMIO_INTERRUPT_STATUS) == 0);
    }
}

/* A kick before DRIVER_OK is not served; after it, it is. */
static void early_kick(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&ring);
    struct raw_request *request = raw_read_lay(&ring, runtime);
    raw_ring_offer(&ring, 0);
    raw_ring_kick(&ring);
    for (unsigned int i = 0; i < 100000; i++) {
        platform_relax();
    }
    CHECK(ring.used->idx == 0 && request->status == 0xff);
    raw_start(ring.registers_gpa);
    raw_ring_kick(&ring);
    raw_ring_wait(&ring);
    CHECK(request->status == VIRTIO_BLK_S_OK);
}

/* Needs --input-sector-size 4096 --output-sector-size 1024. */
void conformance_run(struct runtime *runtime)
{
    static const uint64_t expected[] = {[RAW_INPUT] = BOTH | VIRTIO_BLK_F_RO, [RAW_OUTPUT] = BOTH | WRITABLE};
    for (unsigned int device = RAW_INPUT; device <= RAW_OUTPUT; device++) {
        uint64_t registers_gpa = raw_registers(runtime, device);
        identity(registers_gpa);
        status(registers_gpa);
        features(registers_gpa, expected[device]);
        raw_store(registers_gpa, VIRTIO_MMIO_STATUS, 0);
        queue_registers(registers_gpa, runtime->boot->vcpu_count);
        configuration(runtime, device);
        reset(runtime, device);
    }
    early_kick(runtime);
}
