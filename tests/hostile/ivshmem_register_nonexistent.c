/* SPDX-License-Identifier: Apache-2.0 */
/* A store to a register that is not there. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    platform_register_write32(runtime->boot->transport.registers_gpa + 0x10, 1);
}
