/* SPDX-License-Identifier: Apache-2.0 */
/* A capacity in sectors of no length. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_capacity_tag};
    message.kind.capacity = (instar_CapacityMessage){.device = "input"};
    messages_send(&message);
}
