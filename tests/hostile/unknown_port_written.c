/* SPDX-License-Identifier: Apache-2.0 */
/* A write to a port without a device. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_port_write8(0x80, 1);
}
