/* SPDX-License-Identifier: Apache-2.0 */
/* An instruction that is none. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("ud2" : : : "memory", "cc", "rax", "rcx", "rdx");
}
