/* SPDX-License-Identifier: Apache-2.0 */
/* The driver is ready, but has no queue to transmit by. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    raw_console_init(&console, runtime);
    raw_start(console.ring.registers_gpa);
}
