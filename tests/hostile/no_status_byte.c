/* SPDX-License-Identifier: Apache-2.0 */
/* A request without room for its status. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    raw_desc_set(&ring.desc[1], raw_memory(runtime, LAYOUT_PAGE_LEN), 512, 0, 0);
    raw_ring_run(&ring, 0);
}
