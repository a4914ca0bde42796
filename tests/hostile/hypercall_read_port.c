/* SPDX-License-Identifier: Apache-2.0 */
/* The port cannot be read. */
#include "tests/hostile/attack.h"

#include "abi/transports/hypercall.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_read32(HYPERCALL_PORT);
}
