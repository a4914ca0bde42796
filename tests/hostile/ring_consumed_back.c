/* SPDX-License-Identifier: Apache-2.0 */
/* What was consumed is consumed. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_guest guest = {.input_consumed = 3};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
    guest.input_consumed = 2;
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
