/* SPDX-License-Identifier: Apache-2.0 */
/* The input has one byte less than is read. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_ARGUMENT, 1 << 20);
    platform_port_write32(PIO_PORT_ARGUMENT, 0);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_READ);
    platform_port_read8(PIO_PORT_DATA);
    platform_port_read8(PIO_PORT_DATA);
}
