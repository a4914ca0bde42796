/* SPDX-License-Identifier: Apache-2.0 */
/* The driver accepts a feature that was not offered, and goes on without the device. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    if (raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH)) {
        return;
    }
    raw_store(registers_gpa, VIRTIO_MMIO_STATUS,
              VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK);
}
