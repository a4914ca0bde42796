/* SPDX-License-Identifier: Apache-2.0 */
/* A store across the end of the page. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = runtime->boot->transport.registers_gpa;
    platform_register_write64(registers_gpa + LAYOUT_PAGE_LEN - 4, 1);
}
