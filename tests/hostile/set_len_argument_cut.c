/* SPDX-License-Identifier: Apache-2.0 */
/* A length that is a byte short. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_start(&offload, runtime, 4096);
    offload.request->header.type = VIRTIO_BLK_T_INSTAR_SET_LEN;
    attack_judge(raw_request_run(&offload.output, offload.request, offload.data, 7, false));
}
