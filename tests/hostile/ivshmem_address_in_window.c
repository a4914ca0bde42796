/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor that points into the shared memory. */
#include "tests/hostile/peers.h"

#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    struct raw_ring output;
    raw_ring_open(&output, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_OUT, 0);
    raw_request_run(&output, request, (uint8_t *)peers_reader(runtime) + IVSHMEM_SLOTS_OFF, 512, false);
}
