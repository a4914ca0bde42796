/* SPDX-License-Identifier: Apache-2.0 */
/* A message of the greatest length that is taken, full of garbage. */
#include "abi/framing.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static uint8_t frame[FRAME_HEAD_LEN + FRAME_BODY_MAX] = {FRAME_BODY_MAX & 0xff, FRAME_BODY_MAX >> 8};
    for (unsigned int i = FRAME_HEAD_LEN; i < sizeof(frame); i++) {
        frame[i] = 0xff;
    }
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
}
