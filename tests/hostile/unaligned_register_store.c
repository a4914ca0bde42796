/* SPDX-License-Identifier: Apache-2.0 */
/* A store across two registers. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    volatile uint8_t *register_memory = attack_pointer(registers_gpa + VIRTIO_MMIO_QUEUE_SEL + 2);
    __asm__ volatile("movl $0, (%0)" : : "r"(register_memory) : "memory");
}
