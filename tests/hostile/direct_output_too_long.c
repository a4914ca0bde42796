/* SPDX-License-Identifier: Apache-2.0 */
/* One byte more than the output file has. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    struct direct_control *control = (struct direct_control *)(uintptr_t)runtime->boot->transport.windows[2].gpa;
    control->output_len = control->input_len + 1;
    platform_port_write32(PORT_TRANSPORT, DIRECT_SIGNAL);
}
