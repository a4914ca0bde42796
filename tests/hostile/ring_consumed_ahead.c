/* SPDX-License-Identifier: Apache-2.0 */
/* More slots than there were. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_guest guest = {.input_consumed = 17};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
