/* SPDX-License-Identifier: Apache-2.0 */
/* A capacity whose parts contradict each other. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_capacity_tag};
    message.kind.capacity =
        (instar_CapacityMessage){.device = "input", .sectors = 3, .sector_size = 512, .bytes = 4096};
    messages_send(&message);
}
