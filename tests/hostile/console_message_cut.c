/* SPDX-License-Identifier: Apache-2.0 */
/* The machine ends within a message. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    static const uint8_t part[] = {100, 0, 0, 0, 1};
    raw_console_open(&console, runtime);
    raw_console_send(&console, part, sizeof(part), 2);
    platform_exit(EXIT_FINISHED);
}
