/* SPDX-License-Identifier: Apache-2.0 */
/* Command 4. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct pipe_control control = {.command = 4};
    sectors_write(runtime, PIPE_CONTROL_OFF, &control, sizeof(control));
}
