/* SPDX-License-Identifier: Apache-2.0 */
/* Takes back that a slot is empty. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    const struct ivshmem_head *other = &peers_reader(runtime)->head;
    while (__atomic_load_n(&other->position, __ATOMIC_ACQUIRE) == 0) {
        platform_relax();
    }
    peers_writer(runtime)->head.position = 1;
    __atomic_store_n(&peers_writer(runtime)->head.echo, 7, __ATOMIC_SEQ_CST);
    peers_claim(runtime, 1);
    while (__atomic_load_n(&other->echo, __ATOMIC_ACQUIRE) != 7) {
        platform_relax();
    }
    peers_claim(runtime, 0);
    peers_sleep();
}
