/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs run at the same time: each one counts for as long as the others make no progress, without an exit. With
 * vCPUs that take turns only at exits, this would never end. Then, waiting and waking. Needs several vCPUs.
 */
#include "abi/ports.h"
#include "tests/conformance/conformance.h"

/* With more vCPUs than processors, a step takes a time slice. */
#define STEPS 100u
#define WAKES 200u

static uint64_t counters[LAYOUT_VCPU_MAX][8] __attribute__((aligned(64)));
static uint32_t stacks_seen[LAYOUT_VCPU_MAX];
static uint32_t turn;

/* Step by step, no one further than one step ahead of the others. */
static void rendezvous(uint32_t vcpu, uint32_t count)
{
    for (uint64_t step = 1; step <= STEPS; step++) {
        __atomic_store_n(&counters[vcpu][0], step, __ATOMIC_RELEASE);
        for (uint32_t i = 0; i < count; i++) {
            while (__atomic_load_n(&counters[i][0], __ATOMIC_ACQUIRE) < step) {
                platform_relax();
            }
        }
    }
}

/* Everyone in turn, asleep in between. */
static void pass_around(uint32_t vcpu, uint32_t count)
{
    for (uint32_t round = 0; round < WAKES; round++) {
        while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != round * count + vcpu) {
            platform_wait(WAIT_WAKE);
        }
        __atomic_store_n(&turn, round * count + vcpu + 1, __ATOMIC_RELEASE);
        platform_wake((vcpu + 1) % count);
    }
}

static void take_part(uint32_t vcpu, uint32_t count)
{
    uint32_t on_stack = vcpu;
    __atomic_store_n(&stacks_seen[vcpu], (uint32_t)(uintptr_t)&on_stack, __ATOMIC_RELEASE);
    CHECK(platform_vcpu() == vcpu);
    rendezvous(vcpu, count);
    pass_around(vcpu, count);
}

void program_worker(const struct boot_info *boot, uint32_t vcpu)
{
    take_part(vcpu, boot->vcpu_count);
    for (;;) {
        platform_wait(WAIT_WAKE);
    }
}

void conformance_run(struct runtime *runtime)
{
    uint32_t count = runtime->boot->vcpu_count;
    CHECK(count > 1);
    take_part(0, count);
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != WAKES * count) {
        platform_wait(WAIT_WAKE);
    }
    for (uint32_t i = 0; i < count; i++) {
        CHECK(stacks_seen[i] >= LAYOUT_STACK_BOTTOM_GPA(i) && stacks_seen[i] < LAYOUT_STACK_TOP_GPA(i));
    }
}
