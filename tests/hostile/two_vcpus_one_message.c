/* SPDX-License-Identifier: Apache-2.0 */
/* Two vCPUs write to the message port at once: their messages are torn. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    for (;;) {
        platform_port_write8(PORT_MESSAGE_DATA, 0xff);
    }
}

void attack_run(struct runtime *runtime UNUSED)
{
    instar_ProgressMessage progress = {.sectors = 1, .total_sectors = 2, .bytes = 3, .total_bytes = 4};
    for (;;) {
        messages_send_progress(&progress);
    }
}
