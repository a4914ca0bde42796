/* SPDX-License-Identifier: Apache-2.0 */
/* A frame whose content is no message. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    static const uint8_t frame[] = {4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    raw_console_open(&console, runtime);
    raw_console_send(&console, frame, sizeof(frame), sizeof(frame));
}
