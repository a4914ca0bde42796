/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/device_queue.h"

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/runtime/platform.h"

/*
 * Polling finds a completion sooner than sleeping and waking up, which costs an exit of 25 us and more. But the
 * machine's few cores also serve the device's I/O threads: a longer poll would take their time away.
 */
#define POLL_US 10u
/* When the host does not know its clock: 2 GHz. Only the length of a poll depends on it. */
#define TSC_KHZ_GUESS 2000000u

static uint16_t largest_power_of_two(uint64_t limit)
{
    uint16_t power = 1;
    while (power * 2u <= limit) {
        power = (uint16_t)(power * 2u);
    }
    return power;
}

bool device_queue_open(struct virtio_mmio *mmio, const struct device_queue_setup *setup, struct virtqueue *queue,
                       struct error *error)
{
    uint32_t size_max = virtio_mmio_select_queue(mmio, setup->index);
    if (size_max == 0) {
        return error_set(error, ERROR_HOST, mmio->name, "the device has no queue %u", setup->index);
    }
    struct virtqueue_setup queue_setup = {
        .size = largest_power_of_two(min_u64(size_max, min_u64(setup->size_max, VIRTQUEUE_SIZE_MAX))),
        .parts_max = setup->parts_max,
        .event_idx = (mmio->features & VIRTIO_F_EVENT_IDX) != 0,
        .rings = setup->rings,
        .arena = setup->arena,
    };
    if (!virtqueue_init(queue, &queue_setup)) {
        return error_set(error, ERROR_HOST, mmio->name, "no memory for queue %u", setup->index);
    }
    struct virtio_mmio_queue addresses = {
        .desc_gpa = (uint64_t)(uintptr_t)queue->desc,
        .driver_gpa = (uint64_t)(uintptr_t)queue->avail,
        .device_gpa = (uint64_t)(uintptr_t)queue->used,
        .size = queue->size,
    };
    virtio_mmio_setup_queue(mmio, &addresses);
    return true;
}

uint64_t device_queue_poll_ticks(uint32_t tsc_khz)
{
    return (uint64_t)(tsc_khz != 0 ? tsc_khz : TSC_KHZ_GUESS) * POLL_US / 1000;
}

static bool any_has_used(struct virtqueue *const *queues, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        if (virtqueue_has_used(queues[i])) {
            return true;
        }
    }
    return false;
}

static bool poll_any(struct virtqueue *const *queues, unsigned int count, uint64_t poll_ticks)
{
    uint64_t start = platform_ticks();
    while (!any_has_used(queues, count)) {
        if (platform_ticks() - start >= poll_ticks) {
            return false;
        }
        platform_relax();
    }
    return true;
}

static void for_each(struct virtqueue *const *queues, unsigned int count, void (*action)(struct virtqueue *queue))
{
    for (unsigned int i = 0; i < count; i++) {
        action(queues[i]);
    }
}

bool device_queues_wait(const struct virtio_mmio *mmio, struct virtqueue *const *queues, unsigned int count,
                        uint64_t poll_ticks, struct error *error)
{
    while (!poll_any(queues, count, poll_ticks)) {
        RETURN_IF_FAILED(virtio_mmio_check(mmio, error));
        for_each(queues, count, virtqueue_arm);
        if (!any_has_used(queues, count)) {
            platform_wait(WAIT_COMPLETION);
        }
        for_each(queues, count, virtqueue_disarm);
    }
    return true;
}
