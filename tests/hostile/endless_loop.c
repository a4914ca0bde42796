/* SPDX-License-Identifier: Apache-2.0 */
/* A loop without end or exit. Needs a time limit. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    for (;;) {
        platform_relax();
    }
}
