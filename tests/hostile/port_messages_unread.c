/* SPDX-License-Identifier: Apache-2.0 */
/* Each port is opened and closed a thousand times, and nobody hears the host: it remembers little. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    for (unsigned int i = 0; i < 1000; i++) {
        raw_ports_say(&ports, i % CONSOLE_PORT_COUNT, VIRTIO_CONSOLE_PORT_READY, 1);
        raw_ports_say(&ports, i % CONSOLE_PORT_COUNT, VIRTIO_CONSOLE_PORT_OPEN, i / 2 % 2);
    }
}
