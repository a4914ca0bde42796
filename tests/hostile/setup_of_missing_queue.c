/* SPDX-License-Identifier: Apache-2.0 */
/* A setup of a queue that the device does not have. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    struct virtio_mmio_setup *setup = raw_memory(runtime, sizeof(*setup));
    *setup = (struct virtio_mmio_setup){.features = VIRTIO_F_VERSION_1, .queue_count = VIRTIO_MMIO_SETUP_QUEUE_MAX};
    setup->queues[VIRTIO_MMIO_SETUP_QUEUE_MAX - 1] = (struct virtio_mmio_setup_queue){
        .size = 16, .desc_gpa = ring.desc_gpa, .driver_gpa = ring.avail_gpa, .device_gpa = ring.used_gpa};
    raw_store(ring.registers_gpa, VIRTIO_MMIO_INSTAR_SETUP, (uint32_t)((uintptr_t)setup - LAYOUT_DATA_GPA));
}
