/* SPDX-License-Identifier: Apache-2.0 */
/* One byte behind the end of the output. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct pipe_control control = {.command = PIPE_STORE, .off = 1 << 20, .len = 2};
    sectors_write(runtime, PIPE_CONTROL_OFF, &control, sizeof(control));
}
