/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/race.h"

static void (*racer)(unsigned int count);

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    void (*flip)(unsigned int count);
    while ((flip = __atomic_load_n(&racer, __ATOMIC_ACQUIRE)) == NULL) {
        platform_relax();
    }
    for (unsigned int count = 0;; count++) {
        flip(count);
    }
}

void race_begin(void (*flip)(unsigned int count))
{
    __atomic_store_n(&racer, flip, __ATOMIC_RELEASE);
}

void race_run(struct raw_ring *ring, uint16_t head)
{
    for (unsigned int round = 0; round < RACE_ROUNDS; round++) {
        raw_ring_run(ring, head);
    }
}
