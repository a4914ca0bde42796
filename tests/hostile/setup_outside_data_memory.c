/* SPDX-License-Identifier: Apache-2.0 */
/* A device's setup that ends where data memory does not go. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    raw_store(raw_registers(runtime, RAW_INPUT), VIRTIO_MMIO_INSTAR_SETUP, UINT32_MAX);
}
