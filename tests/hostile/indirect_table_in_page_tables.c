/* SPDX-License-Identifier: Apache-2.0 */
/* An indirect table in the page tables: a device would read them to the guest. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    raw_desc_set(&ring.desc[0], NULL, 64, VIRTQ_DESC_F_INDIRECT, 0);
    ring.desc[0].addr = LAYOUT_PAGE_TABLES_GPA;
    raw_ring_run(&ring, 0);
}
