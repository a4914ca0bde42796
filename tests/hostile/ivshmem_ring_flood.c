/* SPDX-License-Identifier: Apache-2.0 */
/* Legal: rings again and again, for nothing. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    for (unsigned int i = 0; i < 5000; i++) {
        peers_ring(runtime, IVSHMEM_RING(IVSHMEM_READER_ID, IVSHMEM_VECTOR));
    }
    peers_behave(runtime);
}
