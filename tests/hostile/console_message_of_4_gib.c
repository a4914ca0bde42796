/* SPDX-License-Identifier: Apache-2.0 */
/* A frame of the largest length there is. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    static const uint8_t head[] = {0xff, 0xff, 0xff, 0xff};
    raw_console_open(&console, runtime);
    raw_console_send(&console, head, sizeof(head), sizeof(head));
}
