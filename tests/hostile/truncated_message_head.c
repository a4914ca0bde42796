/* SPDX-License-Identifier: Apache-2.0 */
/* A message that ends within its length. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t head[] = {100, 0};
    platform_port_write(PORT_MESSAGE_DATA, head, sizeof(head));
    platform_exit(EXIT_FINISHED);
}
