/* SPDX-License-Identifier: Apache-2.0 */
/* Commands cannot be read. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_read32(PIO_PORT_COMMAND);
}
