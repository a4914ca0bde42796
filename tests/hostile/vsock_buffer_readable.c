/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer to receive that the device may only read. */
#include "tests/hostile/raw_vsock.h"

void attack_run(struct runtime *runtime)
{
    struct raw_vsock vsock;
    raw_vsock_init(&vsock, runtime);
    raw_desc_set(&vsock.receive.desc[0], vsock.received, RAW_VSOCK_RECEIVE_LEN, 0, 0);
    raw_ring_offer(&vsock.receive, 0);
    raw_ring_kick(&vsock.receive);
    raw_ring_wait(&vsock.receive);
}
