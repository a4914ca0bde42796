/* SPDX-License-Identifier: Apache-2.0 */
/* A store to a constant. */
#include "tests/hostile/attack.h"

static const char constant[] = "as it is";

void attack_run(struct runtime *runtime UNUSED)
{
    *attack_pointer((uint64_t)(uintptr_t)constant) = 1;
}
