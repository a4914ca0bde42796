/* SPDX-License-Identifier: Apache-2.0 */
/* Offset and length together are a small number. */
#include "tests/hostile/attack.h"

#include "abi/transports/hypercall.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    uint64_t number = HYPERCALL_WRITE;
    uint64_t off = UINT64_MAX - 1;
    uint64_t len = 64;
    __asm__ volatile("outl %%eax, %%dx"
                     : "+a"(number), "+b"(off), "+c"(len)
                     : "d"(HYPERCALL_PORT)
                     : "memory", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
}
