/* SPDX-License-Identifier: Apache-2.0 */
/* An error text that would take over a terminal. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    attack_fail("\x1b[2J\x1b]0;owned\a\r\nall is \x7fwell\xe2\x80\xae\xff");
}
