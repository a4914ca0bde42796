/* SPDX-License-Identifier: Apache-2.0 */
/* A message of 4 GiB. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t head[] = {0xff, 0xff, 0xff, 0xff};
    platform_port_write(PORT_MESSAGE_DATA, head, sizeof(head));
}
