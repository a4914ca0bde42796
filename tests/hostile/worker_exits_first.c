/* SPDX-License-Identifier: Apache-2.0 */
/* A second vCPU that ends the machine before the first one has a result. */
#include "tests/hostile/attack.h"

static bool is_introduced;

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    while (!__atomic_load_n(&is_introduced, __ATOMIC_ACQUIRE)) {
        platform_relax();
    }
    platform_exit(EXIT_FINISHED);
}

void attack_run(struct runtime *runtime UNUSED)
{
    __atomic_store_n(&is_introduced, true, __ATOMIC_RELEASE);
    platform_wait(WAIT_WAKE);
}
