/* SPDX-License-Identifier: Apache-2.0 */
/* An offset that nothing can be added to. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_ARGUMENT, UINT32_MAX);
    platform_port_write32(PIO_PORT_ARGUMENT, UINT32_MAX);
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_READ);
    platform_port_read8(PIO_PORT_DATA);
}
