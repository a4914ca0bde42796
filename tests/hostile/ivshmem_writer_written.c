/* SPDX-License-Identifier: Apache-2.0 */
/* Stores to the other machine's part. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_writer(runtime)->head.position = 1;
    peers_sleep();
}
