/* SPDX-License-Identifier: Apache-2.0 */
/* More work done than there is. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_ProgressMessage progress = {.sectors = 11, .total_sectors = 10, .bytes = 1, .total_bytes = 1};
    messages_send_progress(&progress);
}
