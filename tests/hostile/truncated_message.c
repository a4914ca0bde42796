/* SPDX-License-Identifier: Apache-2.0 */
/* A message that ends with the machine, before its length is reached. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t frame[] = {100, 0, 0, 0, 0x0a, 0x03};
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
    platform_exit(EXIT_FINISHED);
}
