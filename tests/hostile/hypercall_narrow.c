/* SPDX-License-Identifier: Apache-2.0 */
/* A call of one byte. */
#include "tests/hostile/attack.h"

#include "abi/transports/hypercall.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write8(HYPERCALL_PORT, HYPERCALL_NOTHING);
}
