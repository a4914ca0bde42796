/* SPDX-License-Identifier: Apache-2.0 */
/* An input that is longer than the output can be. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, UINT64_MAX);
    peers_sleep();
}
