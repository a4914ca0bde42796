/* SPDX-License-Identifier: Apache-2.0 */
/* System calls without a libc (System V ABI for x86-64, A.2). Each returns what the kernel does: -errno on failure. */
#ifndef INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_CALLS_H
#define INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_CALLS_H

#include <stdint.h>
#include <sys/syscall.h>

#include "base/attributes.h"

static inline long call6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long call4(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return call6(number, a, b, c, d, 0, 0);
}

static inline long call3(long number, uint64_t a, uint64_t b, uint64_t c)
{
    return call6(number, a, b, c, 0, 0, 0);
}

static inline uint64_t pointer(const void *target)
{
    return (uintptr_t)target;
}

static inline NO_RETURN void process_exit(void)
{
    for (;;) {
        call3(SYS_exit_group, 1, 0, 0);
    }
}

#endif
