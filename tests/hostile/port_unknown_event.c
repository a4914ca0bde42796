/* SPDX-License-Identifier: Apache-2.0 */
/* An event that there is not. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_say(&ports, 0, VIRTIO_CONSOLE_PORT_NAME + 1, 1);
}
