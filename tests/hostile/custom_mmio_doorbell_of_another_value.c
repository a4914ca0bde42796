/* SPDX-License-Identifier: Apache-2.0 */
/* A doorbell that nobody listens to. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + CUSTOM_MMIO_DOORBELL, 2);
    platform_wait(WAIT_COMPLETION);
}
