/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    panic("no more");
}
