/* SPDX-License-Identifier: Apache-2.0 */
/* Legal: the guest's own stack is nobody's business, when an interrupt is pending. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    *(volatile uint32_t *)attack_pointer(LAYOUT_INTERRUPT_PENDING_GPA) = 1;
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq $16, %%rsp\n\thlt\n\tmovq %%rbx, %%rsp" : : : "rbx", "memory");
}
