/* SPDX-License-Identifier: Apache-2.0 */
/* A store that begins in one device's registers and ends in the next one's. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    volatile uint8_t *register_memory = attack_pointer(registers_gpa + LAYOUT_REGISTERS_STRIDE - 2);
    __asm__ volatile("movl $0, (%0)" : : "r"(register_memory) : "memory");
}
