/* SPDX-License-Identifier: Apache-2.0 */
/* A far return to ring 0. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("pushq $0x08\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:"
                     :
                     :
                     : "memory", "rax");
}
