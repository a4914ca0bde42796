/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the registers of a device that the machine could have, but has not. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime UNUSED)
{
    raw_store(LAYOUT_REGISTERS_DEVICE_GPA(LAYOUT_DEVICE_MAX - 1), VIRTIO_MMIO_STATUS, 1);
}
