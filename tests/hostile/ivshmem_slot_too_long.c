/* SPDX-License-Identifier: Apache-2.0 */
/* A slot that is longer than slots are. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_reader(runtime)->slot_lens[0] = 0x100001u;
    peers_begin(runtime, 0x100001);
    peers_claim(runtime, 1);
    peers_sleep();
}
