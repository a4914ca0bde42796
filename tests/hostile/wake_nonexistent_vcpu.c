/* SPDX-License-Identifier: Apache-2.0 */
/* A wake-up of a vCPU that the machine does not have. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wake(1000);
}
