/* SPDX-License-Identifier: Apache-2.0 */
/* A jump onto the stack. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    volatile uint8_t code[] = {0xc3}; /* ret */
    attack_jump((uint64_t)(uintptr_t)code);
}
