/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/raw_ring.h"

#include "abi/ports.h"
#include "guest/runtime/platform.h"

/* How long to look before sleeping: most answers come within it. */
#define POLL_ROUNDS 2000u

uint64_t raw_registers(const struct runtime *runtime, enum raw_device device)
{
    (void)runtime; /* the place follows from the number */
    return LAYOUT_REGISTERS_DEVICE_GPA(device);
}

uint32_t raw_load(uint64_t registers_gpa, uint32_t off)
{
    return platform_register_read32(registers_gpa + off);
}

void raw_store(uint64_t registers_gpa, uint32_t off, uint32_t value)
{
    platform_register_write32(registers_gpa + off, value);
}

uint64_t raw_features(uint64_t registers_gpa)
{
    raw_store(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    uint64_t high = raw_load(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES);
    raw_store(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    return high << 32 | raw_load(registers_gpa, VIRTIO_MMIO_DEVICE_FEATURES);
}

bool raw_negotiate(uint64_t registers_gpa, uint64_t features)
{
    uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, 0);
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, status);
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    raw_store(registers_gpa, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS, status | VIRTIO_STATUS_FEATURES_OK);
    return (raw_load(registers_gpa, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK) != 0;
}

void raw_start(uint64_t registers_gpa)
{
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS,
              VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

void *raw_memory(struct runtime *runtime, uint64_t len)
{
    void *memory = arena_allocate(&runtime->arena, len, LAYOUT_PAGE_LEN);
    if (memory == NULL) {
        panic("the test needs %llu bytes more", (unsigned long long)len);
    }
    return memory;
}

static uint64_t ring_part(struct runtime *runtime, uint64_t len)
{
    void *part = arena_allocate(&runtime->queues, len, LAYOUT_PAGE_LEN);
    if (part == NULL) {
        panic("the test has too many rings");
    }
    return (uint64_t)(uintptr_t)part;
}

void raw_ring_init(struct raw_ring *ring, struct runtime *runtime, enum raw_device device, uint32_t index)
{
    *ring = (struct raw_ring){
        .registers_gpa = raw_registers(runtime, device),
        .index = index,
        .size = RAW_RING_SIZE,
        .desc_gpa = ring_part(runtime, VIRTQ_DESC_LEN(RAW_RING_SIZE)),
        .avail_gpa = ring_part(runtime, VIRTQ_AVAIL_LEN(RAW_RING_SIZE)),
        .used_gpa = ring_part(runtime, VIRTQ_USED_LEN(RAW_RING_SIZE)),
    };
    ring->desc = (volatile struct virtq_desc *)(uintptr_t)ring->desc_gpa;
    ring->avail = (volatile struct virtq_avail *)(uintptr_t)ring->avail_gpa;
    ring->used = (volatile struct virtq_used *)(uintptr_t)ring->used_gpa;
}

void raw_ring_place(const struct raw_ring *ring)
{
    uint64_t registers_gpa = ring->registers_gpa;
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_SEL, ring->index);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_NUM, ring->size);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring->desc_gpa);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(ring->desc_gpa >> 32));
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)ring->avail_gpa);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, (uint32_t)(ring->avail_gpa >> 32));
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)ring->used_gpa);
    raw_store(registers_gpa, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, (uint32_t)(ring->used_gpa >> 32));
}

void raw_ring_enable(const struct raw_ring *ring)
{
    raw_ring_place(ring);
    raw_store(ring->registers_gpa, VIRTIO_MMIO_QUEUE_READY, 1);
}

void raw_ring_open(struct raw_ring *ring, struct runtime *runtime, enum raw_device device)
{
    raw_ring_init(ring, runtime, device, 0);
    uint64_t features = raw_features(ring->registers_gpa) & ~VIRTIO_F_EVENT_IDX;
    if (!raw_negotiate(ring->registers_gpa, features)) {
        panic("the device refuses the features that it offers");
    }
    raw_ring_enable(ring);
    raw_start(ring->registers_gpa);
}

uint32_t raw_capacity_sectors(const struct raw_ring *ring)
{
    return raw_load(ring->registers_gpa, VIRTIO_MMIO_CONFIG);
}

void raw_desc_set(volatile struct virtq_desc *desc, const volatile void *memory, uint32_t len, uint16_t flags,
                  uint16_t next)
{
    desc->addr = (uint64_t)(uintptr_t)memory;
    desc->len = len;
    desc->flags = flags;
    desc->next = next;
}

void raw_ring_offer(struct raw_ring *ring, uint16_t head)
{
    uint16_t idx = ring->avail->idx;
    ring->avail->ring[idx % ring->size] = head;
    __atomic_store_n(&ring->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

void raw_ring_kick(const struct raw_ring *ring)
{
    raw_store(ring->registers_gpa, VIRTIO_MMIO_QUEUE_NOTIFY, ring->index);
}

struct virtq_used_elem raw_ring_wait(struct raw_ring *ring)
{
    unsigned int round = 0;
    /* No end of its own: a device that stopped has ended the machine. */
    while (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == ring->taken_idx) {
        if (round++ < POLL_ROUNDS) {
            platform_relax();
        } else {
            platform_wait(WAIT_COMPLETION);
        }
    }
    volatile struct virtq_used_elem *used = &ring->used->ring[ring->taken_idx % ring->size];
    ring->taken_idx++;
    return (struct virtq_used_elem){.id = used->id, .len = used->len};
}

struct virtq_used_elem raw_ring_run(struct raw_ring *ring, uint16_t head)
{
    raw_ring_offer(ring, head);
    raw_ring_kick(ring);
    return raw_ring_wait(ring);
}

struct raw_request *raw_request_make(struct runtime *runtime, uint32_t type, uint64_t sector)
{
    struct raw_request *request = arena_allocate(&runtime->arena, sizeof(*request), 64);
    if (request == NULL) {
        panic("the test has too many requests");
    }
    request->header.type = type;
    request->header.sector = sector;
    request->status = 0xff;
    return request;
}

void raw_request_lay(struct raw_ring *ring, struct raw_request *request, const volatile void *data, uint32_t len,
                     bool device_writes)
{
    volatile struct virtq_desc *desc = ring->desc;
    uint16_t data_flags = (uint16_t)(VIRTQ_DESC_F_NEXT | (device_writes ? VIRTQ_DESC_F_WRITE : 0));
    request->status = 0xff;
    raw_desc_set(&desc[0], &request->header, sizeof(request->header), VIRTQ_DESC_F_NEXT, len > 0 ? 1 : 2);
    raw_desc_set(&desc[1], data, len, data_flags, 2);
    raw_desc_set(&desc[2], &request->status, 1, VIRTQ_DESC_F_WRITE, 0);
}

uint8_t raw_request_run(struct raw_ring *ring, struct raw_request *request, const volatile void *data, uint32_t len,
                        bool device_writes)
{
    raw_request_lay(ring, request, data, len, device_writes);
    raw_ring_run(ring, 0);
    return request->status;
}

struct raw_request *raw_read_lay(struct raw_ring *ring, struct runtime *runtime)
{
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    raw_request_lay(ring, request, raw_memory(runtime, LAYOUT_PAGE_LEN), VIRTIO_BLK_SECTOR_LEN, true);
    return request;
}
