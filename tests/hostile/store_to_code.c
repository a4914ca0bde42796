/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the code. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    *attack_pointer((uint64_t)(uintptr_t)attack_run) = 1;
}
