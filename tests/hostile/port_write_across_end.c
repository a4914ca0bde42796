/* SPDX-License-Identifier: Apache-2.0 */
/* A write that begins in a device's ports and ends behind them. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_port_write32(PORT_EXIT + 2, 0);
}
