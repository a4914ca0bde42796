/* SPDX-License-Identifier: Apache-2.0 */
/* Resets while requests are in flight, over and over. Legal: the device must survive it, and be usable. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

#define DATA_LEN 65536u
#define ROUNDS 100u

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    volatile uint8_t *data = raw_memory(runtime, DATA_LEN);
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    for (unsigned int round = 0; round < ROUNDS; round++) {
        raw_negotiate(ring.registers_gpa, raw_features(ring.registers_gpa) & ~VIRTIO_F_EVENT_IDX);
        ring.avail->idx = 0;
        ring.used->idx = 0;
        ring.taken_idx = 0;
        raw_ring_enable(&ring);
        raw_start(ring.registers_gpa);
        raw_request_lay(&ring, request, data, DATA_LEN, true);
        for (unsigned int i = 0; i < ring.size; i++) {
            raw_ring_offer(&ring, 0);
        }
        raw_ring_kick(&ring);
        raw_store(ring.registers_gpa, VIRTIO_MMIO_STATUS, 0);
        uint16_t used_idx = ring.used->idx;
        for (unsigned int i = 0; i < 1000; i++) {
            platform_relax();
        }
        if (ring.used->idx != used_idx) {
            attack_fail("the device used its queue after the reset");
        }
    }
    ring.avail->idx = 0;
    ring.used->idx = 0;
    raw_negotiate(ring.registers_gpa, raw_features(ring.registers_gpa) & ~VIRTIO_F_EVENT_IDX);
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
    if (raw_request_run(&ring, request, data, DATA_LEN, true) != VIRTIO_BLK_S_OK) {
        attack_fail("the device does not work after a reset");
    }
}
