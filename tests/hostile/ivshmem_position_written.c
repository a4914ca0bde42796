/* SPDX-License-Identifier: Apache-2.0 */
/* Wants to be another machine. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    platform_register_write32(runtime->boot->transport.registers_gpa + IVSHMEM_POSITION, 1);
}
