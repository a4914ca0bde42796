/* SPDX-License-Identifier: Apache-2.0 */
/* The program ends with a code that does not exist. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_exit(0x12345678);
}
