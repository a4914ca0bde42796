/* SPDX-License-Identifier: Apache-2.0 */
/* The handler's stack is ring 0's. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    *attack_pointer(LAYOUT_INTERRUPT_STACK_GPA + 0xff8) = 1;
}
