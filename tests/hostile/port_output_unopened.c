/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a port that nobody has opened. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_init(&ports, runtime);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT), 16, 0);
}
