/* SPDX-License-Identifier: Apache-2.0 */
/* A failure without an error. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_CompleteMessage complete = {0};
    messages_send_complete(&complete);
    platform_exit(EXIT_FINISHED);
}
