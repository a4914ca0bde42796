/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start and the end of a guest program.
 *
 * A program defines program_main, which vCPU 0 runs, and program_worker if it has work for the others.
 */
#ifndef INSTAR_GUEST_RUNTIME_RUNTIME_H
#define INSTAR_GUEST_RUNTIME_RUNTIME_H

#include <stdint.h>

#include "abi/boot_info.h"
#include "base/attributes.h"
#include "guest/runtime/arena.h"

struct runtime {
    const struct boot_info *boot; /* checked */
    struct arena arena;           /* the DMA arena */
    struct arena queues;          /* memory for virtqueues */
};

/* Returns how the machine ends: EXIT_FINISHED when the last message told the result. */
uint32_t program_main(struct runtime *runtime);

/* What every vCPU but 0 runs. Without one of the program's own, they sleep. */
void program_worker(const struct boot_info *boot, uint32_t vcpu);

/* The program cannot go on: prints the reason as COM2's last line and ends the machine. */
NO_RETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);

/* Called by the entry point, on every vCPU. */
NO_RETURN void runtime_start(const struct boot_info *boot, uint32_t vcpu);

#endif
