/* SPDX-License-Identifier: Apache-2.0 */
/* A store to a register that is there to be read. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    raw_store(registers_gpa, VIRTIO_MMIO_MAGIC_VALUE, 1);
}
