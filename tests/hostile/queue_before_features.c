/* SPDX-License-Identifier: Apache-2.0 */
/* A queue that is enabled before the features are negotiated. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_ring_enable(&ring);
}
