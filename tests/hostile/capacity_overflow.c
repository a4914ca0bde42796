/* SPDX-License-Identifier: Apache-2.0 */
/* A capacity whose length in bytes overflows 64 bits. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_capacity_tag};
    message.kind.capacity =
        (instar_CapacityMessage){.device = "input", .sectors = UINT64_MAX, .sector_size = 1u << 24, .bytes = 0};
    messages_send(&message);
}
