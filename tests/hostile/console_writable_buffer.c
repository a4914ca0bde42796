/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer that the device is to write, in the queue that it reads. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    raw_console_open(&console, runtime);
    raw_desc_set(&console.ring.desc[0], console.memory, 16, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_run(&console.ring, 0);
}
