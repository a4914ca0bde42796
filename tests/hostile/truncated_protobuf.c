/* SPDX-License-Identifier: Apache-2.0 */
/* A whole message whose protobuf promises more than there is. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t frame[] = {4, 0, 0, 0, 0x0a, 0x7f, 0x0a, 0x01};
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
}
