/* SPDX-License-Identifier: Apache-2.0 */
/* A message one byte longer than what is taken. */
#include "abi/framing.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint8_t head[] = {(FRAME_BODY_MAX + 1) & 0xff, (FRAME_BODY_MAX + 1) >> 8, 0, 0};
    platform_port_write(PORT_MESSAGE_DATA, head, sizeof(head));
}
