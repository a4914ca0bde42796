/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the hypervisor. Processors and hypervisors differ: it faults, or comes back empty-handed. */
#ifndef INSTAR_TESTS_HOSTILE_KERNEL_CALL_H
#define INSTAR_TESTS_HOSTILE_KERNEL_CALL_H

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/hostile/attack.h"

/* "HygonGenuine" in EBX, EDX, ECX. */
#define SIGNATURE_HYGON_EBX 0x6f677948u

/* Processors of AMD, and Hygon's that descend from them, have VMMCALL; all others VMCALL. */
static inline bool processor_has_vmmcall(void)
{
    uint32_t eax, ebx, ecx, edx;
    __cpuid(0, eax, ebx, ecx, edx);
    return ebx == signature_AMD_ebx || ebx == SIGNATURE_HYGON_EBX;
}

static inline void kernel_call(bool by_vmmcall)
{
    uint64_t result = 11; /* whatever it means: ring 3 may call none */
    if (by_vmmcall) {
        __asm__ volatile("vmmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
    } else {
        __asm__ volatile("vmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
    }
    attack_fail((int64_t)result < 0 ? "the hypercall was refused" : "the hypercall was served");
}

#endif
