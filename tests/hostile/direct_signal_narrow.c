/* SPDX-License-Identifier: Apache-2.0 */
/* A signal of one byte. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write8(PORT_TRANSPORT, DIRECT_SIGNAL);
}
