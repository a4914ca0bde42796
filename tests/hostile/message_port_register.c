/* SPDX-License-Identifier: Apache-2.0 */
/* A register that a real serial port has and this one does not. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_port_write8(PORT_MESSAGE_DATA + 1, 1);
}
