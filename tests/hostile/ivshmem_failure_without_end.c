/* SPDX-License-Identifier: Apache-2.0 */
/* A failure of an unknown kind, whose place and reason are control characters without an end. */
#include "tests/hostile/peers.h"

#include <string.h>

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    struct ivshmem_reader *part = peers_reader(runtime);
    part->error_kind = UINT32_MAX;
    memset(part->error_place, 0x1b, sizeof(part->error_place));
    memset(part->error_detail, 0x1b, sizeof(part->error_detail));
    __atomic_store_n(&part->head.state, IVSHMEM_FAILED, __ATOMIC_RELEASE);
    peers_claim(runtime, 0);
    peers_sleep();
}
