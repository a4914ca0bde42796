/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the guard page above the stack. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_STACK_TOP_GPA(0));
}
