/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a port that was closed again. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_say(&ports, CONSOLE_PORT_OUTPUT, VIRTIO_CONSOLE_PORT_OPEN, 0);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT), 16, 0);
}
