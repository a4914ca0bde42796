/* SPDX-License-Identifier: Apache-2.0 */
/* Rings for the machine itself. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    peers_ring(runtime, IVSHMEM_RING(IVSHMEM_WRITER_ID, IVSHMEM_VECTOR));
}
