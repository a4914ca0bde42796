/* SPDX-License-Identifier: Apache-2.0 */
/* Command 6. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_COMMAND, 6);
}
