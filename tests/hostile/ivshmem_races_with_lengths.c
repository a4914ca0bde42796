/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths change while the other machine looks at them. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (!peers_is_reader(runtime)) {
        peers_behave(runtime);
        return;
    }
    volatile uint32_t *lens = peers_reader(runtime)->slot_lens;
    lens[0] = 4096;
    peers_begin(runtime, 0x100000);
    for (uint64_t i = 0;; i++) {
        lens[i % IVSHMEM_SLOT_COUNT] = i % 3 == 0 ? UINT32_MAX : 4096;
        uint64_t emptied = __atomic_load_n(&peers_writer(runtime)->head.position, __ATOMIC_ACQUIRE);
        peers_reader(runtime)->head.position = emptied + 1;
        if (peers_writer(runtime)->head.waits != 0) {
            peers_claim(runtime, emptied + 1);
        }
    }
}
