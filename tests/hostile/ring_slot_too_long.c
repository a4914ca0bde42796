/* SPDX-License-Identifier: Apache-2.0 */
/* A slot with a byte more than it can have. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_slot slot = {.len = RING_DATA_LEN + 1};
    sectors_write(runtime, RING_OUTPUT_OFF, &slot, sizeof(slot));
    struct ring_guest guest = {.output_produced = 1};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
