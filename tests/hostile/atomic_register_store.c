/* SPDX-License-Identifier: Apache-2.0 */
/* An atomic instruction on a register. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    volatile uint8_t *register_memory = attack_pointer(registers_gpa + VIRTIO_MMIO_STATUS);
    __asm__ volatile("lock xaddl %1, (%0)" : : "r"(register_memory), "r"(1) : "memory");
}
