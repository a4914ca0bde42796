/* SPDX-License-Identifier: Apache-2.0 */
/* A program name longer than the host has room for. */
#include "abi/framing.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static uint8_t frame[FRAME_HEAD_LEN + 4 + 100] = {104, 0, 0, 0, 0x0a, 102, 0x0a, 100};
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
}
