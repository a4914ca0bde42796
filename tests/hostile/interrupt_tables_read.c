/* SPDX-License-Identifier: Apache-2.0 */
/* The tables are ring 0's. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    (void)*attack_pointer(LAYOUT_INTERRUPT_TABLES_GPA);
}
