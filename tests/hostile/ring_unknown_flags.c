/* SPDX-License-Identifier: Apache-2.0 */
/* A flag that the host does not know. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_guest guest = {.flags = 2};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
