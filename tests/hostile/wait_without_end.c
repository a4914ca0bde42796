/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for an event that never comes. Needs a time limit. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wait(WAIT_WAKE);
}
