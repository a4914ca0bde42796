/* SPDX-License-Identifier: Apache-2.0 */
/* Behind the end of the output's memory. */
#include "tests/hostile/attack.h"

#include "abi/transports/direct.h"

void attack_run(struct runtime *runtime)
{
    const struct boot_window *window = &runtime->boot->transport.windows[1];
    *attack_pointer(window->gpa + window->len) = 1;
}
