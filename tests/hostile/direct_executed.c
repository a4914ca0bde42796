/* SPDX-License-Identifier: Apache-2.0 */
/* Output memory holds no instructions. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    *attack_pointer(runtime->boot->transport.windows[1].gpa) = 0xc3;
    attack_jump(runtime->boot->transport.windows[1].gpa);
}
