/* SPDX-License-Identifier: Apache-2.0 */
/* The program gives up. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    panic("no hope at 0x%x", 0x1234);
}
