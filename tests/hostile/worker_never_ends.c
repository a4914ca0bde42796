/* SPDX-License-Identifier: Apache-2.0 */
/* A second vCPU that is still busy when the first one ends the machine. Legal. */
#include "tests/hostile/attack.h"

static bool started;

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    __atomic_store_n(&started, true, __ATOMIC_RELEASE);
    for (;;) {
        platform_relax();
    }
}

void attack_run(struct runtime *runtime UNUSED)
{
    while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE)) {
        platform_relax();
    }
}
