/* SPDX-License-Identifier: Apache-2.0 */
/* A command of one byte. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write8(PIO_PORT_COMMAND, DATA_COMMAND_SIZE);
}
