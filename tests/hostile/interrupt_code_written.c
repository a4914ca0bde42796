/* SPDX-License-Identifier: Apache-2.0 */
/* The handler is not to be written. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    *attack_pointer(LAYOUT_INTERRUPT_CODE_GPA) = 0xc3;
}
