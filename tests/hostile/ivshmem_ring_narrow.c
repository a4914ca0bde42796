/* SPDX-License-Identifier: Apache-2.0 */
/* Rings by 1 byte. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    platform_register_write8(runtime->boot->transport.registers_gpa + IVSHMEM_DOORBELL, 0);
}
