/* SPDX-License-Identifier: Apache-2.0 */
/* Stores to a slot. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    *attack_pointer((uint64_t)(uintptr_t)peers_reader(runtime) + IVSHMEM_SLOTS_OFF) = 1;
}
