/* SPDX-License-Identifier: Apache-2.0 */
/* Unmasks an interrupt that the device does not have. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    platform_register_write32(runtime->boot->transport.registers_gpa + IVSHMEM_INTERRUPT_MASK, 1);
}
