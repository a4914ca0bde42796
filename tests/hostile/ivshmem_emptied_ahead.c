/* SPDX-License-Identifier: Apache-2.0 */
/* More slots than there are. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    peers_claim(runtime, 1000);
    peers_sleep();
}
