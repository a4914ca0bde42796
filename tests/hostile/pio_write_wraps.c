/* SPDX-License-Identifier: Apache-2.0 */
/* Offset and length together are a small number. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_ARGUMENT, UINT32_MAX);
    platform_port_write32(PIO_PORT_ARGUMENT, UINT32_MAX);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_WRITE);
    platform_port_write32(PIO_PORT_DATA, 1);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_FLUSH);
}
