/* SPDX-License-Identifier: Apache-2.0 */
/* A breakpoint without a debugger. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("int3" : : : "memory", "cc", "rax", "rcx", "rdx");
}
