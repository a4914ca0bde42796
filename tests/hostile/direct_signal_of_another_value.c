/* SPDX-License-Identifier: Apache-2.0 */
/* What the doorbell does not listen to. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    platform_register_write32(runtime->boot->transport.registers_gpa, 2);
}
