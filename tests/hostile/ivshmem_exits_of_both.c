/* SPDX-License-Identifier: Apache-2.0 */
/* Each machine alone exits less often than the job may. */
#include "tests/hostile/peers.h"

#define EXIT_COUNT 60

void attack_run(struct runtime *runtime)
{
    for (unsigned int i = 0; i < EXIT_COUNT; i++) {
        platform_wake(0);
    }
    if (peers_is_reader(runtime)) {
        peers_begin(runtime, 0);
        peers_sleep();
    }
    while (__atomic_load_n(&peers_reader(runtime)->head.state, __ATOMIC_ACQUIRE) != IVSHMEM_READY) {
        platform_relax();
    }
}
