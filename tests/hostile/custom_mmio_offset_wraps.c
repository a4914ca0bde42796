/* SPDX-License-Identifier: Apache-2.0 */
/* Offset and length together are a small number. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + CUSTOM_MMIO_COMMAND, CUSTOM_MMIO_WRITE_CHUNK);
    platform_register_write64(registers_gpa + CUSTOM_MMIO_DATA_LENGTH, 512);
    platform_register_write64(registers_gpa + CUSTOM_MMIO_DATA_GPA, LAYOUT_WINDOW_DATA_GPA);
    platform_register_write64(registers_gpa + CUSTOM_MMIO_OFFSET, UINT64_MAX - 255);
    platform_register_write32(registers_gpa + CUSTOM_MMIO_DOORBELL, CUSTOM_MMIO_RING);
    platform_wait(WAIT_COMPLETION);
}
