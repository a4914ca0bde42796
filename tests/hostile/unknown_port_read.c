/* SPDX-License-Identifier: Apache-2.0 */
/* A read from a port without a device. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    platform_port_read8(0x60);
}
