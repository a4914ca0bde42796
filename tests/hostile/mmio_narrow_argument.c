/* SPDX-License-Identifier: Apache-2.0 */
/* Half an offset. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write32(registers_gpa + MMIO_REGISTER_ARGUMENT, 1);
}
