/* SPDX-License-Identifier: Apache-2.0 */
/* The input's memory is read-only. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    *attack_pointer(runtime->boot->transport.windows[0].gpa) = 1;
}
