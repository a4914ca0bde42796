/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer for the input that the device may only read. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(CONSOLE_PORT_INPUT), 64, 0);
}
