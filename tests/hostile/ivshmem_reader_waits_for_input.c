/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for a message, which never comes. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    platform_wait(WAIT_INPUT | WAIT_TICK);
    peers_claim(runtime, 17);
    peers_sleep();
}
