/* SPDX-License-Identifier: Apache-2.0 */
/* Rings for a machine that does not exist. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    peers_ring(runtime, IVSHMEM_RING(0xffff, IVSHMEM_VECTOR));
}
