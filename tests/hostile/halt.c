/* SPDX-License-Identifier: Apache-2.0 */
/* The halt instruction. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("hlt" : : : "memory", "cc", "rax", "rcx", "rdx");
}
