/* SPDX-License-Identifier: Apache-2.0 */
/* One byte more than the region has. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct pipe_control control = {.command = PIPE_FETCH, .len = PIPE_REGION_LEN + 1};
    sectors_write(runtime, PIPE_CONTROL_OFF, &control, sizeof(control));
}
