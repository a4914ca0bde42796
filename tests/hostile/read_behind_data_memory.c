/* SPDX-License-Identifier: Apache-2.0 */
/* A load from behind the data memory. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime)
{
    (void)*attack_pointer(runtime->boot->arena_gpa + runtime->boot->arena_len);
}
