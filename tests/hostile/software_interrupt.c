/* SPDX-License-Identifier: Apache-2.0 */
/* An interrupt that has no handler. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("int $0x80" : : : "memory", "cc", "rax", "rcx", "rdx");
}
