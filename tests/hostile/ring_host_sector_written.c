/* SPDX-License-Identifier: Apache-2.0 */
/* Legal: the host does not believe its own sector. */
#include "tests/hostile/attack.h"

#include "tests/hostile/sectors.h"

void attack_run(struct runtime *runtime)
{
    struct ring_host host = {.input_produced = UINT64_MAX, .output_consumed = UINT64_MAX};
    struct ring_guest guest = {.input_consumed = 1};
    sectors_write(runtime, RING_HOST_OFF, &host, sizeof(host));
    sectors_write(runtime, RING_GUEST_OFF, &guest, sizeof(guest));
}
