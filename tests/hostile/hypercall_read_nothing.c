/* SPDX-License-Identifier: Apache-2.0 */
/* No byte. */
#include "tests/hostile/attack.h"

#include "abi/transports/hypercall.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    uint64_t number = HYPERCALL_READ;
    uint64_t off = 0;
    uint64_t len = 0;
    __asm__ volatile("outl %%eax, %%dx"
                     : "+a"(number), "+b"(off), "+c"(len)
                     : "d"(HYPERCALL_PORT)
                     : "memory", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
}
