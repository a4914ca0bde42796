/* SPDX-License-Identifier: Apache-2.0 */
/* Groups within groups, which the decoder must skip. */
#include "abi/framing.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static uint8_t frame[FRAME_HEAD_LEN + 1000] = {0xe8, 0x03, 0, 0};
    for (unsigned int i = FRAME_HEAD_LEN; i < sizeof(frame); i++) {
        frame[i] = 0x7b; /* field 15, start of a group */
    }
    platform_port_write(PORT_MESSAGE_DATA, frame, sizeof(frame));
}
