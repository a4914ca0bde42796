/* SPDX-License-Identifier: Apache-2.0 */
/* No byte. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct pipe_control control = {.command = PIPE_FETCH};
    sectors_write(runtime, PIPE_CONTROL_OFF, &control, sizeof(control));
}
