/* SPDX-License-Identifier: Apache-2.0 */
/* Faults. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    *attack_pointer(0) = 1;
    peers_sleep();
}
