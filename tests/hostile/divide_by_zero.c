/* SPDX-License-Identifier: Apache-2.0 */
/* A division by zero. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("xorl %%ecx, %%ecx; movl $1, %%eax; cltd; idivl %%ecx" : : : "memory", "cc", "rax", "rcx", "rdx");
}
