/* SPDX-License-Identifier: Apache-2.0 */
/* The handler cannot be called as a software interrupt. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    __asm__ volatile("int $0x40");
}
