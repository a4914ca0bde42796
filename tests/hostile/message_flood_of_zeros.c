/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes without end on the message port: empty messages. The first one is one too many. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    for (;;) {
        platform_port_write32(PORT_MESSAGE_DATA, 0);
    }
}
