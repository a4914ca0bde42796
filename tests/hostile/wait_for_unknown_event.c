/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for an event that does not exist. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wait(0x80000000);
}
