/* SPDX-License-Identifier: Apache-2.0 */
/* A loop without end, with interrupts disabled, which IOPL 3 permits. Needs a time limit. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    __asm__ volatile("cli");
    for (;;) {
        platform_relax();
    }
}
