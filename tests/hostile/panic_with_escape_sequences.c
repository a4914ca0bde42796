/* SPDX-License-Identifier: Apache-2.0 */
/* The program gives up with words that would take over a terminal. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    panic("\x1b[31mno\thope\x1b[0m");
}
