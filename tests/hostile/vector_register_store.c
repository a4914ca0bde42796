/* SPDX-License-Identifier: Apache-2.0 */
/* A store of 16 bytes to registers. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    volatile uint8_t *register_memory = attack_pointer(registers_gpa + VIRTIO_MMIO_QUEUE_DESC_LOW);
    __asm__ volatile("movups %%xmm0, (%0)" : : "r"(register_memory) : "memory");
}
