/* SPDX-License-Identifier: Apache-2.0 */
/* Requests without end: a device whose queue is never empty. Needs a time limit. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    for (;;) {
        /* As many as fit, all the same: nobody looks at the answers. */
        while ((uint16_t)(ring.avail->idx - ring.used->idx) < ring.size) {
            raw_ring_offer(&ring, 0);
        }
        raw_ring_kick(&ring);
    }
}
