/* SPDX-License-Identifier: Apache-2.0 */
/* A used ring that moves while the device uses it. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_INPUT);
    ring.used_gpa += LAYOUT_PAGE_LEN;
    raw_ring_place(&ring);
    raw_store(ring.registers_gpa, VIRTIO_MMIO_STATUS, 0);
}
