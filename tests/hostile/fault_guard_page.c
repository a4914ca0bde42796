/* SPDX-License-Identifier: Apache-2.0 */
/* A stack that grows into its guard page. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("1: pushq %rax; jmp 1b");
}
