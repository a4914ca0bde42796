/* SPDX-License-Identifier: Apache-2.0 */
/* A state that is not one. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    __atomic_store_n(&peers_reader(runtime)->head.state, 77, __ATOMIC_RELEASE);
    peers_claim(runtime, 0);
    peers_sleep();
}
