/* SPDX-License-Identifier: Apache-2.0 */
/* A setup with more queues than there is room for. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct virtio_mmio_setup *setup = raw_memory(runtime, sizeof(*setup));
    *setup = (struct virtio_mmio_setup){.features = VIRTIO_F_VERSION_1, .queue_count = UINT32_MAX};
    raw_store(raw_registers(runtime, RAW_INPUT), VIRTIO_MMIO_INSTAR_SETUP,
              (uint32_t)((uintptr_t)setup - LAYOUT_DATA_GPA));
}
