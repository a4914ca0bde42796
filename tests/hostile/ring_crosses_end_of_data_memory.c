/* SPDX-License-Identifier: Apache-2.0 */
/* A used ring whose last two bytes, the event index, are outside of the data memory. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    ring.used_gpa = runtime->boot->arena_gpa + runtime->boot->arena_len - VIRTQ_USED_LEN(ring.size) + 2;
    ring.used_gpa &= ~3ull;
    raw_ring_enable(&ring);
}
