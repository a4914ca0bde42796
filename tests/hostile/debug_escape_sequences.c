/* SPDX-License-Identifier: Apache-2.0 */
/* Debug text that would take over a terminal. Legal: it must come out harmless. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const char text[] = "\x1b[2J\x1b]0;owned\a\rgone\0hidden\x9b\xff\n";
    platform_port_write(PORT_DEBUG_DATA, text, sizeof(text) - 1);
}
