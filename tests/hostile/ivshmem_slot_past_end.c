/* SPDX-License-Identifier: Apache-2.0 */
/* A slot that reaches past the end of the input. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_reader(runtime)->slot_lens[0] = 4097;
    peers_begin(runtime, 4096);
    peers_claim(runtime, 1);
    peers_sleep();
}
