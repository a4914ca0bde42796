/* SPDX-License-Identifier: Apache-2.0 */
/* The available ring names a descriptor behind the end of the table. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    raw_ring_run(&ring, (uint16_t)ring.size);
}
