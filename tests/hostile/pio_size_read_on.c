/* SPDX-License-Identifier: Apache-2.0 */
/* The length has eight bytes, not nine. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    platform_port_write32(PIO_PORT_COMMAND, DATA_COMMAND_SIZE);
    for (int i = 0; i < 9; i++) {
        platform_port_read8(PIO_PORT_DATA);
    }
}
