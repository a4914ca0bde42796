/* SPDX-License-Identifier: Apache-2.0 */
/* A message changes its length and its content while the host takes it. */
#include "tests/hostile/race.h"
#include "tests/hostile/raw_console.h"

static struct raw_console console;

static void flip(unsigned int count)
{
    volatile uint8_t *memory = console.memory;
    memory[0] = count & 1 ? 6 : 255;
    memory[1] = count & 2 ? 0 : 19;
    memory[5] = count & 4 ? 4 : 200;
}

void attack_run(struct runtime *runtime)
{
    static const uint8_t frame[] = {6, 0, 0, 0, 0x1a, 4, 8, 1, 16, 2};
    raw_console_open(&console, runtime);
    raw_console_send(&console, frame, sizeof(frame), sizeof(frame));
    raw_desc_set(&console.ring.desc[0], console.memory, LAYOUT_PAGE_LEN, 0, 0);
    race_begin(flip);
    race_run(&console.ring, 0);
    platform_exit(EXIT_FINISHED);
}
