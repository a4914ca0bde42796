/* SPDX-License-Identifier: Apache-2.0 */
/* Commands by the dozen: one by one in a virtual machine, where that is no matter, at once elsewhere. */
#include "tests/hostile/attack.h"

#include "abi/transports/data_register.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    static const uint32_t commands[3] = {DATA_COMMAND_SIZE, DATA_COMMAND_SIZE, DATA_COMMAND_SIZE};
    platform_port_write(PIO_PORT_COMMAND, commands, sizeof(commands));
}
