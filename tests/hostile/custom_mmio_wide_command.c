/* SPDX-License-Identifier: Apache-2.0 */
/* A command of 8 bytes. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write64(registers_gpa + CUSTOM_MMIO_COMMAND, 1);
    platform_wait(WAIT_COMPLETION);
}
