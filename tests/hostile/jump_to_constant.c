/* SPDX-License-Identifier: Apache-2.0 */
/* A jump into the constants. */
#include "tests/hostile/attack.h"

static const uint8_t code[] = {0xc3}; /* ret */

void attack_run(struct runtime *runtime UNUSED)
{
    attack_jump((uint64_t)(uintptr_t)code);
}
