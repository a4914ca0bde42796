/* SPDX-License-Identifier: Apache-2.0 */
/* Two results; the program adds a third. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_CompleteMessage complete = {.success = true};
    messages_send_complete(&complete);
    messages_send_complete(&complete);
}
