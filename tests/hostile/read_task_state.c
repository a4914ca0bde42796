/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the task state segment. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_TASK_STATE_GPA);
}
