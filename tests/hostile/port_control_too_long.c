/* SPDX-License-Identifier: Apache-2.0 */
/* A message with a byte behind it. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_init(&ports, runtime);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT, sizeof(struct virtio_console_control) + 1, 0);
}
