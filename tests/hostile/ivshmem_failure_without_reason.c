/* SPDX-License-Identifier: Apache-2.0 */
/* A failure, and no word about it. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    __atomic_store_n(&peers_reader(runtime)->head.state, IVSHMEM_FAILED, __ATOMIC_RELEASE);
    peers_claim(runtime, 0);
    peers_sleep();
}
