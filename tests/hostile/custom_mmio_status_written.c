/* SPDX-License-Identifier: Apache-2.0 */
/* The status is the device's. */
#include "tests/hostile/attack.h"

#include "abi/transports/custom_mmio.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + CUSTOM_MMIO_STATUS, CUSTOM_MMIO_COMPLETE);
    platform_wait(WAIT_COMPLETION);
}
