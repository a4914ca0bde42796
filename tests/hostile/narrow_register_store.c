/* SPDX-License-Identifier: Apache-2.0 */
/* A one-byte store to a register. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    *attack_pointer(registers_gpa + VIRTIO_MMIO_STATUS) = 1;
}
