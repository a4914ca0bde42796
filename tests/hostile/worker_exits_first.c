/* SPDX-License-Identifier: Apache-2.0 */
/* A second vCPU that ends the machine before the first one has a result. */
#include "tests/hostile/attack.h"

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    platform_exit(EXIT_FINISHED);
}

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wait(WAIT_WAKE);
}
