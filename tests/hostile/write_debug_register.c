/* SPDX-License-Identifier: Apache-2.0 */
/* A debug register. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("xorl %%eax, %%eax; movq %%rax, %%dr7" : : : "memory", "cc", "rax", "rcx", "rdx");
}
