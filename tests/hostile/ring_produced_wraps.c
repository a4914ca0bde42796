/* SPDX-License-Identifier: Apache-2.0 */
/* A count that wraps around. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_guest guest = {.output_produced = UINT64_MAX};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
