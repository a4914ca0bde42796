/* SPDX-License-Identifier: Apache-2.0 */
/* A port behind the last one. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_say(&ports, CONSOLE_PORT_COUNT, VIRTIO_CONSOLE_PORT_READY, 1);
}
