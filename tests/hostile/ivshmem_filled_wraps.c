/* SPDX-License-Identifier: Apache-2.0 */
/* As many slots as a counter can count. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    peers_claim(runtime, UINT64_MAX);
    peers_sleep();
}
