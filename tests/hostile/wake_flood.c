/* SPDX-License-Identifier: Apache-2.0 */
/* Wake-ups without end. Needs a time limit. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    for (;;) {
        platform_wake(0);
    }
}
