/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the address that a null pointer has. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    *attack_pointer(0) = 1;
}
