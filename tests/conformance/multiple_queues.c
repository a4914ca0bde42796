/* SPDX-License-Identifier: Apache-2.0 */
/* A queue for every vCPU, all of them at work at the same time on one device. Needs several vCPUs. */
#include "abi/ports.h"
#include "tests/conformance/conformance.h"

#define REQUESTS 2000u
#define DATA_LEN 4096u

static struct raw_ring rings[LAYOUT_VCPU_MAX];
static struct raw_request *requests[LAYOUT_VCPU_MAX];
static uint8_t *data[LAYOUT_VCPU_MAX];
static bool is_ready;
static uint32_t finished_count;

static void work(uint32_t vcpu)
{
    struct raw_ring *ring = &rings[vcpu];
    uint32_t sectors = raw_capacity_sectors(ring) - DATA_LEN / 512;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t sector = (i * 977 + vcpu * 131) % sectors;
        requests[vcpu]->header.sector = sector;
        CHECK(raw_request_run(ring, requests[vcpu], data[vcpu], DATA_LEN, true) == VIRTIO_BLK_S_OK);
        CHECK(pattern_matches(data[vcpu], sector * 512, DATA_LEN));
    }
    __atomic_add_fetch(&finished_count, 1, __ATOMIC_ACQ_REL);
}

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu)
{
    while (!__atomic_load_n(&is_ready, __ATOMIC_ACQUIRE)) {
        platform_wait(WAIT_WAKE);
    }
    work(vcpu);
    platform_wake(0);
    for (;;) {
        platform_wait(WAIT_WAKE);
    }
}

void conformance_run(struct runtime *runtime)
{
    uint32_t count = runtime->boot->vcpu_count;
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    CHECK(count > 1);
    CHECK(raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_MQ));
    for (uint32_t i = 0; i < count; i++) {
        raw_ring_init(&rings[i], runtime, RAW_INPUT, i);
        raw_ring_enable(&rings[i]);
        requests[i] = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
        data[i] = raw_memory(runtime, DATA_LEN);
    }
    raw_start(registers_gpa);
    __atomic_store_n(&is_ready, true, __ATOMIC_RELEASE);
    for (uint32_t i = 1; i < count; i++) {
        platform_wake(i);
    }
    work(0);
    while (__atomic_load_n(&finished_count, __ATOMIC_ACQUIRE) < count) {
        platform_wait(WAIT_WAKE);
    }
}
