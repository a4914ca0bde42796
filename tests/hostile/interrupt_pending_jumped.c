/* SPDX-License-Identifier: Apache-2.0 */
/* The word that the handler sets holds no instructions. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    attack_jump(LAYOUT_INTERRUPT_PENDING_GPA);
}
