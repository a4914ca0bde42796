/* SPDX-License-Identifier: Apache-2.0 */
/* Data without a place to go to. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_DATA, 1);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_FINISH);
}
