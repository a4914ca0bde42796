/* SPDX-License-Identifier: Apache-2.0 */
/* The guest adds a port, which is the host's to do. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_say(&ports, 0, VIRTIO_CONSOLE_DEVICE_ADD, 1);
}
