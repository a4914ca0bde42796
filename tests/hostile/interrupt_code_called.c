/* SPDX-License-Identifier: Apache-2.0 */
/* The handler is ring 0's. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    attack_jump(LAYOUT_INTERRUPT_CODE_GPA);
}
