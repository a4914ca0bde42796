/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody sends one. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    __asm__ volatile("hlt");
}
