/* SPDX-License-Identifier: Apache-2.0 */
/* A read in the middle of a write. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_ARGUMENT, 0);
    platform_port_write32(PIO_PORT_ARGUMENT, 0);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_WRITE);
    platform_port_write32(PIO_PORT_DATA, 1);
    platform_port_read32(PIO_PORT_DATA);
}
