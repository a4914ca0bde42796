/* SPDX-License-Identifier: Apache-2.0 */
/* The result buffer is read-only. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    *attack_pointer(runtime->boot->transport.windows[1].gpa) = 1;
}
