/* SPDX-License-Identifier: Apache-2.0 */
/* Takes a slot back that the other machine has emptied. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    peers_reader(runtime)->slot_lens[0] = 512;
    peers_claim(runtime, 1);
    while (__atomic_load_n(&peers_writer(runtime)->head.position, __ATOMIC_ACQUIRE) != 1) {
        platform_relax();
    }
    peers_claim(runtime, 0);
    peers_sleep();
}
