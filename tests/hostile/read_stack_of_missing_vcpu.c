/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the stack of a vCPU that the machine does not have. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_STACK_BOTTOM_GPA(5));
}
