/* SPDX-License-Identifier: Apache-2.0 */
/* An indirect descriptor, although the driver did not accept the feature. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1);
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    raw_desc_set(&ring.desc[0], table, 3 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    raw_ring_run(&ring, 0);
}
