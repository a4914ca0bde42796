/* SPDX-License-Identifier: Apache-2.0 */
/* Two requests at once, and no buffer for the reply to the first. */
#include <string.h>

#include "abi/transports/stream.h"
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    static const struct stream_request flush = {.kind = STREAM_FLUSH};
    memcpy(ports.memory, &flush, sizeof(flush));
    memcpy(ports.memory + sizeof(flush), &flush, sizeof(flush));
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT), 2 * sizeof(flush), 0);
}
