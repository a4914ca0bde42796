/* SPDX-License-Identifier: Apache-2.0 */
/* Offset and length together are a small number. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_slot slot = {.off = UINT64_MAX, .len = RING_DATA_LEN};
    sectors_write(runtime, RING_OUTPUT_OFF, &slot, sizeof(slot));
    struct ring_guest guest = {.output_produced = 1};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
