/* SPDX-License-Identifier: Apache-2.0 */
/* The driver starts before it has negotiated. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    raw_store(raw_registers(runtime, RAW_INPUT), VIRTIO_MMIO_STATUS, VIRTIO_STATUS_DRIVER_OK);
}
