/* SPDX-License-Identifier: Apache-2.0 */
/* Has something to say, by messages, for which only the other machine has a port. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    platform_port_write32(PORT_MESSAGE_DATA, 0);
    peers_sleep();
}
