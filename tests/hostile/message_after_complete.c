/* SPDX-License-Identifier: Apache-2.0 */
/* A message after the result. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_CompleteMessage complete = {.success = true};
    messages_send_complete(&complete);
    instar_ProgressMessage progress = {.total_sectors = 1};
    messages_send_progress(&progress);
}
