/* SPDX-License-Identifier: Apache-2.0 */
/* A failure behind the data of a slot. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    peers_reader(runtime)->slot_lens[0] = 512;
    __atomic_store_n(&peers_reader(runtime)->head.state, IVSHMEM_FAILED, __ATOMIC_RELEASE);
    peers_claim(runtime, 1);
    peers_sleep();
}
