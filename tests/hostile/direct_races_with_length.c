/* SPDX-License-Identifier: Apache-2.0 */
/* The length changes while the host looks at it. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    struct direct_control *control = (struct direct_control *)(uintptr_t)runtime->boot->transport.windows[2].gpa;
    platform_register_write32(runtime->boot->transport.registers_gpa, DIRECT_SIGNAL);
    volatile struct direct_control *racing = control;
    while (racing->state == DIRECT_RUNNING) { /* ends: the host takes the output, or ends the job */
        racing->output_len = UINT64_MAX;
        racing->output_len = 0;
    }
}
