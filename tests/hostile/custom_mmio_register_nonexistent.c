/* SPDX-License-Identifier: Apache-2.0 */
/* Behind the last register. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + 0x40, 1);
    platform_wait(WAIT_COMPLETION);
}
