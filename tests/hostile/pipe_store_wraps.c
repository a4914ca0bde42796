/* SPDX-License-Identifier: Apache-2.0 */
/* Offset and length together are a small number. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct pipe_control control = {.command = PIPE_STORE, .off = UINT64_MAX, .len = 2};
    sectors_write(runtime, PIPE_CONTROL_OFF, &control, sizeof(control));
}
