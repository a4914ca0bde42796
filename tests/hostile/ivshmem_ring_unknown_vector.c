/* SPDX-License-Identifier: Apache-2.0 */
/* Rings a vector that does not exist. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    peers_ring(runtime, IVSHMEM_RING(IVSHMEM_READER_ID, 1));
}
