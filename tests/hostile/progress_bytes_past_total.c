/* SPDX-License-Identifier: Apache-2.0 */
/* More bytes done than there are. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    instar_ProgressMessage progress = {.sectors = 1, .total_sectors = 10, .bytes = UINT64_MAX, .total_bytes = 1};
    messages_send_progress(&progress);
}
