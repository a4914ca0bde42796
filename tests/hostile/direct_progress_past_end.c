/* SPDX-License-Identifier: Apache-2.0 */
/* More than all. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write8(PORT_PROGRESS, 101);
}
