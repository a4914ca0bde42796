/* SPDX-License-Identifier: Apache-2.0 */
/* A second vCPU that faults while the first one sleeps. */
#include "tests/hostile/attack.h"

void program_worker(const struct boot_info *boot UNUSED, uint32_t vcpu UNUSED)
{
    *attack_pointer(0x10) = 1;
}

void attack_run(struct runtime *runtime UNUSED)
{
    platform_wait(WAIT_WAKE);
}
