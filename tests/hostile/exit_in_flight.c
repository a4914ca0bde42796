/* SPDX-License-Identifier: Apache-2.0 */
/* The machine ends while requests are in flight. Legal. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    raw_read_lay(&ring, runtime);
    ring.desc[1].len = 65536;
    ring.desc[1].addr = (uint64_t)(uintptr_t)raw_memory(runtime, 65536);
    for (unsigned int i = 0; i < ring.size; i++) {
        raw_ring_offer(&ring, 0);
    }
    raw_ring_kick(&ring);
}
