/* SPDX-License-Identifier: Apache-2.0 */
/* The progress port takes bytes. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PORT_PROGRESS, 50);
}
