/* SPDX-License-Identifier: Apache-2.0 */
/* More slots than there are. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    peers_claim(runtime, 17);
    peers_sleep();
}
