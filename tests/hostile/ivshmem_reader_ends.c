/* SPDX-License-Identifier: Apache-2.0 */
/* Ends while the other machine still wants data. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    peers_begin(runtime, 4096);
    platform_exit(EXIT_FINISHED);
}
