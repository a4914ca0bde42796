/* SPDX-License-Identifier: Apache-2.0 */
/* A slot that ends behind the output. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_slot slot = {.off = 1 << 20, .len = 2};
    sectors_write(runtime, RING_OUTPUT_OFF, &slot, sizeof(slot));
    struct ring_guest guest = {.output_produced = 1};
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
