/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the host to copy from the disk that the other machine has. */
#include "tests/hostile/peers.h"

#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    struct raw_ring output;
    raw_ring_open(&output, runtime, RAW_OUTPUT);
    struct virtio_blk_set_len *set_len = raw_memory(runtime, sizeof(*set_len));
    set_len->len = 8192;
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_INSTAR_SET_LEN, 0);
    if (raw_request_run(&output, request, set_len, sizeof(*set_len), false) != VIRTIO_BLK_S_OK) {
        panic("cannot set the output's length");
    }
    struct virtio_blk_copy *copy = raw_memory(runtime, sizeof(*copy));
    *copy = (struct virtio_blk_copy){.source_device = 0, .len = 4096};
    request = raw_request_make(runtime, VIRTIO_BLK_T_INSTAR_COPY, 0);
    attack_judge(raw_request_run(&output, request, copy, sizeof(*copy), false));
}
