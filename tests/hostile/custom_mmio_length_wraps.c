/* SPDX-License-Identifier: Apache-2.0 */
/* A length that wraps around the buffer's end. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + CUSTOM_MMIO_COMMAND, CUSTOM_MMIO_READ_CHUNK);
    platform_register_write64(registers_gpa + CUSTOM_MMIO_DATA_LENGTH, UINT64_MAX);
    platform_register_write64(registers_gpa + CUSTOM_MMIO_RESULT_GPA, LAYOUT_WINDOW_RESULT_GPA + 1);
    platform_register_write32(registers_gpa + CUSTOM_MMIO_DOORBELL, CUSTOM_MMIO_RING);
    platform_wait(WAIT_COMPLETION);
}
