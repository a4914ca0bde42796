/* SPDX-License-Identifier: Apache-2.0 */
/* A model-specific register: where system calls go. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("movl $0xc0000082, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx; wrmsr"
                     :
                     :
                     : "memory", "cc", "rax", "rcx", "rdx");
}
