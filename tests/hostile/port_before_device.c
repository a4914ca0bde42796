/* SPDX-License-Identifier: Apache-2.0 */
/* A port is ready before the device is. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_init(&ports, runtime);
    raw_ports_say(&ports, 0, VIRTIO_CONSOLE_PORT_READY, 1);
}
