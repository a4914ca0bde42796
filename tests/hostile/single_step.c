/* SPDX-License-Identifier: Apache-2.0 */
/* The trap flag: a debug exception after the next instruction. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" : : : "memory", "cc", "rax", "rcx", "rdx");
}
