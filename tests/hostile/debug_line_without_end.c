/* SPDX-License-Identifier: Apache-2.0 */
/* A debug line that never ends. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    for (;;) {
        platform_port_write32(PORT_DEBUG_DATA, 0x78787878);
    }
}
