/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers to receive something: nothing ever comes, and nothing happens. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_console.h"

#include "abi/virtio_console.h"

void attack_run(struct runtime *runtime)
{
    struct raw_console console;
    static const uint8_t progress[] = {6, 0, 0, 0, 0x1a, 4, 8, 1, 16, 2};
    struct raw_ring receive;
    raw_ring_init(&receive, runtime, (enum raw_device)(runtime->boot->device_count - 1), VIRTIO_CONSOLE_QUEUE_RECEIVE);
    raw_console_init(&console, runtime);
    raw_ring_enable(&console.ring);
    raw_ring_enable(&receive);
    raw_start(receive.registers_gpa);
    raw_desc_set(&receive.desc[0], console.memory, 16, VIRTQ_DESC_F_WRITE, 0);
    raw_ring_offer(&receive, 0);
    raw_ring_kick(&receive);
    raw_console_send(&console, progress, sizeof(progress), 3);
}
