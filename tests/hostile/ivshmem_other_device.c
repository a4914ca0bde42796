/* SPDX-License-Identifier: Apache-2.0 */
/* Uses the disk that the other machine has. */
#include "tests/hostile/peers.h"

#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
}
