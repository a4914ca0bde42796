/* SPDX-License-Identifier: Apache-2.0 */
/* A frame of one byte more than a message may have. */
#include "abi/framing.h"
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    static const uint8_t head[] = {(FRAME_BODY_MAX + 1) & 0xff, (FRAME_BODY_MAX + 1) >> 8, 0, 0};
    raw_console_open(&console, runtime);
    raw_console_send(&console, head, sizeof(head), 1);
}
