/* SPDX-License-Identifier: Apache-2.0 */
/* The program ends without a result. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_exit(EXIT_FINISHED);
}
