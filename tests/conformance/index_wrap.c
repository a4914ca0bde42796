/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of every legal size, and so many requests that the 16-bit indices wrap around. */
#include "tests/conformance/conformance.h"

/* Of a batch: the more, the faster. Every chain takes three descriptors. */
#define BATCH_MAX 64u

static void serve(struct raw_ring *ring, struct raw_request *request, volatile void *data, unsigned int requests)
{
    raw_request_lay(ring, request, data, 512, true);
    unsigned int batch = ring->size < BATCH_MAX ? ring->size : BATCH_MAX;
    for (unsigned int done = 0; done < requests; done += batch) {
        for (unsigned int i = 0; i < batch; i++) {
            raw_ring_offer(ring, 0);
        }
        raw_ring_kick(ring);
        for (unsigned int i = 0; i < batch; i++) {
            CHECK(raw_ring_wait(ring).id == 0);
        }
    }
    CHECK(request->status == VIRTIO_BLK_S_OK);
}

void conformance_run(struct runtime *runtime)
{
    volatile void *data = raw_memory(runtime, LAYOUT_PAGE_LEN);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_IN, 0);
    for (uint32_t size = 4; size <= RAW_RING_SIZE; size *= 2) {
        struct raw_ring ring;
        raw_ring_init(&ring, runtime, RAW_INPUT, 0);
        ring.size = size;
        CHECK(raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1));
        raw_ring_enable(&ring);
        raw_start(ring.registers_gpa);
        serve(&ring, request, data, size == 8 || size == RAW_RING_SIZE ? 70000 : 3 * size);
    }

    /* The smallest queue holds one chain: an indirect one. */
    struct raw_ring ring;
    raw_ring_init(&ring, runtime, RAW_INPUT, 0);
    ring.size = 1;
    CHECK(raw_negotiate(ring.registers_gpa, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC));
    raw_ring_enable(&ring);
    raw_start(ring.registers_gpa);
    raw_request_lay(&ring, request, data, 512, true);
    volatile struct virtq_desc *table = raw_memory(runtime, LAYOUT_PAGE_LEN);
    for (unsigned int i = 0; i < 3; i++) {
        table[i] = ring.desc[i];
    }
    raw_desc_set(&ring.desc[0], table, 3 * sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0);
    for (unsigned int i = 0; i < 10; i++) {
        request->status = 0xff;
        CHECK(raw_ring_run(&ring, 0).id == 0);
        CHECK(request->status == VIRTIO_BLK_S_OK);
    }
}
