/* SPDX-License-Identifier: Apache-2.0 */
/* A register that is not there. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_read32(registers_gpa + 0x20);
}
