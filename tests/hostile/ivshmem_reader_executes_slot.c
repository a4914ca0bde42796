/* SPDX-License-Identifier: Apache-2.0 */
/* Executes what is in a slot. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    attack_jump((uint64_t)(uintptr_t)peers_reader(runtime) + IVSHMEM_SLOTS_OFF);
    peers_sleep();
}
