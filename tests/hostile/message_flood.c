/* SPDX-License-Identifier: Apache-2.0 */
/* Messages without end. Needs a time limit. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_ProgressMessage progress = {.sectors = 1, .total_sectors = 2};
    for (;;) {
        messages_send_progress(&progress);
    }
}
