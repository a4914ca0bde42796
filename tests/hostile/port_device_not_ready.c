/* SPDX-License-Identifier: Apache-2.0 */
/* The driver has failed. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_init(&ports, runtime);
    raw_ports_say(&ports, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
}
