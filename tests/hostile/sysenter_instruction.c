/* SPDX-License-Identifier: Apache-2.0 */
/* A system call of the older kind. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("sysenter" : : : "memory", "cc", "rax", "rcx", "rdx");
}
