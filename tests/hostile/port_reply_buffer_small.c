/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer that a reply does not fit in. */
#include <string.h>

#include "abi/transports/stream.h"
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    static const struct stream_request flush = {.kind = STREAM_FLUSH};
    memcpy(ports.memory, &flush, sizeof(flush));
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT), sizeof(flush), 0);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(CONSOLE_PORT_OUTPUT), 7, VIRTQ_DESC_F_WRITE);
}
