/* SPDX-License-Identifier: Apache-2.0 */
/* A call to the hypervisor. Processors differ: it faults, or comes back empty-handed. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    uint64_t result = 11; /* whatever it means: ring 3 may call none */
    __asm__ volatile("vmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
    attack_fail((int64_t)result < 0 ? "the hypercall was refused" : "the hypercall was served");
}
