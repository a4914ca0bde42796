/* SPDX-License-Identifier: Apache-2.0 */
/* The largest number there is. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    struct direct_control *control = (struct direct_control *)(uintptr_t)runtime->boot->transport.windows[2].gpa;
    control->output_len = UINT64_MAX;
    platform_register_write32(runtime->boot->transport.registers_gpa, DIRECT_SIGNAL);
    for (;;) {
        platform_wait(WAIT_COMPLETION);
    }
}
