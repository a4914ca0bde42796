/* SPDX-License-Identifier: Apache-2.0 */
/* A wait for no event: nothing could end it. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wait(0);
}
