/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wants to be told of what (2.7.7, 2.7.9, 2.7.10): with and without VIRTIO_F_EVENT_IDX.
 *
 * That no notification comes is looked at only where the device has passed the point at which it would have
 * sent one: at the answer to a later request.
 */
#include "abi/ports.h"
#include "tests/conformance/conformance.h"

static struct raw_ring ring;

static volatile uint16_t *used_event(void)
{
    return &ring.avail->ring[ring.size];
}

static volatile uint16_t *avail_event(void)
{
    return (volatile uint16_t *)&ring.used->ring[ring.size];
}

static void open_ring(struct runtime *runtime, uint64_t features)
{
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    CHECK(raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1 | features));
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
    raw_read_lay(&ring, runtime);
}

static bool is_notified(void)
{
    return (raw_load(ring.registers_gpa, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INTERRUPT_USED_BUFFER) != 0;
}

static void acknowledge(void)
{
    raw_store(ring.registers_gpa, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_USED_BUFFER);
    CHECK(!is_notified());
}

/* Waits by polling only. */
static void run_polled(void)
{
    uint16_t before = ring.used->idx;
    raw_ring_offer(&ring, 0);
    raw_ring_kick(&ring);
    while (__atomic_load_n(&ring.used->idx, __ATOMIC_ACQUIRE) == before) {
        platform_relax();
    }
    ring.taken_idx++;
}

static void await_notification(void)
{
    while (!is_notified()) {
        platform_wait(WAIT_COMPLETION);
    }
    acknowledge();
}

/* The flag: no notification while it is set. */
static void flag(struct runtime *runtime)
{
    open_ring(runtime, 0);
    run_polled();
    await_notification();
    ring.avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    for (unsigned int i = 0; i < 5; i++) {
        run_polled();
    }
    CHECK(!is_notified());
    ring.avail->flags = 0;
    run_polled();
    await_notification();
}

/* The index: a notification when, and only when, the used index passes it. */
static void index_of_used(struct runtime *runtime)
{
    open_ring(runtime, VIRTIO_F_EVENT_IDX);
    for (unsigned int round = 0; round < 20; round++) {
        *used_event() = (uint16_t)(ring.taken_idx + 2);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        run_polled();
        run_polled();
        CHECK(!is_notified());
        run_polled();
        await_notification();
    }
    /* The flag means nothing with the feature (2.7.7.1). */
    *used_event() = ring.taken_idx;
    ring.avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    run_polled();
    await_notification();
}

/* The other direction: the device asks for a kick of the next chain, once it has looked at all before. */
static void index_of_available(struct runtime *runtime)
{
    open_ring(runtime, VIRTIO_F_EVENT_IDX);
    for (unsigned int round = 0; round < 20; round++) {
        run_polled();
        while (__atomic_load_n(avail_event(), __ATOMIC_ACQUIRE) != ring.avail->idx) {
            platform_relax();
        }
    }
}

/* A chain that is offered without a kick stays where it is. */
static void no_kick_no_service(struct runtime *runtime)
{
    open_ring(runtime, VIRTIO_F_EVENT_IDX);
    run_polled();
    while (__atomic_load_n(avail_event(), __ATOMIC_ACQUIRE) != ring.avail->idx) {
        platform_relax();
    }
    /* The device looks once more after it has asked for kicks. */
    for (unsigned int i = 0; i < 1000000; i++) {
        platform_relax();
    }
    uint16_t before = ring.used->idx;
    raw_ring_offer(&ring, 0);
    for (unsigned int i = 0; i < 1000000; i++) {
        platform_relax();
    }
    CHECK(ring.used->idx == before);
    raw_ring_kick(&ring);
    while (ring.used->idx == before) {
        platform_relax();
    }
}

void conformance_run(struct runtime *runtime)
{
    flag(runtime);
    index_of_used(runtime);
    index_of_available(runtime);
    no_kick_no_service(runtime);
}
