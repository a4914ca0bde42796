/* SPDX-License-Identifier: Apache-2.0 */
/* A jump into data memory. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    volatile uint8_t *code = arena_allocate(&runtime->arena, 1, 1);
    *code = 0xc3; /* ret */
    attack_jump((uint64_t)(uintptr_t)code);
}
