/* SPDX-License-Identifier: Apache-2.0 */
/* A message that is no protobuf. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t frame[] = {8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
}
