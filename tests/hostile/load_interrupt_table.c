/* SPDX-License-Identifier: Apache-2.0 */
/* An own table of interrupt handlers. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("subq $16, %%rsp; lidt (%%rsp)" : : : "memory", "cc", "rax", "rcx", "rdx");
}
