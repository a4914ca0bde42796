/* SPDX-License-Identifier: Apache-2.0 */
/* An own set of page tables. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("movq %%cr3, %%rax; movq %%rax, %%cr3" : : : "memory", "cc", "rax", "rcx", "rdx");
}
