/* SPDX-License-Identifier: Apache-2.0 */
/* A system call: nobody is there to take it. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("syscall" : : : "memory", "cc", "rax", "rcx", "rdx");
}
