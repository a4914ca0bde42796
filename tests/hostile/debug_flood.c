/* SPDX-License-Identifier: Apache-2.0 */
/* Debug text without end. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    for (;;) {
        platform_port_write32(PORT_DEBUG_DATA, 0x0a787878);
    }
}
