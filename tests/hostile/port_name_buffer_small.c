/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer for a message about a port, but not for its name. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    struct raw_ports ports;
    raw_ports_open(&ports, runtime);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE, 8, VIRTQ_DESC_F_WRITE);
    raw_ports_run(&ports, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE, 8, VIRTQ_DESC_F_WRITE);
}
