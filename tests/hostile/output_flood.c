/* SPDX-License-Identifier: Apache-2.0 */
/* The same place of the output is written again without end. Needs a limit. */
#include <string.h>

#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

#define DATA_LEN 65536u

void attack_run(struct runtime *runtime)
{
    struct raw_ring ring;
    raw_ring_open(&ring, runtime, RAW_OUTPUT);
    struct raw_request *request = raw_request_make(runtime, VIRTIO_BLK_T_OUT, 0);
    uint8_t *data = raw_memory(runtime, DATA_LEN);
    memset(data, 0x55, DATA_LEN);
    for (;;) {
        raw_request_run(&ring, request, data, DATA_LEN, false);
    }
}
