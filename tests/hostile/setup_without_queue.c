/* SPDX-License-Identifier: Apache-2.0 */
/* A setup without any queue, while the device is in use. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
    struct virtio_mmio_setup *setup = raw_memory(runtime, sizeof(*setup));
    *setup = (struct virtio_mmio_setup){.features = VIRTIO_F_VERSION_1};
    raw_store(ring.registers_gpa, VIRTIO_MMIO_INSTAR_SETUP, (uint32_t)((uintptr_t)setup - LAYOUT_DATA_GPA));
}
