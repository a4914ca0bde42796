/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/raw_console.h"

#include <string.h>

#include "abi/virtio_console.h"
#include "base/checked.h"

void raw_console_init(struct raw_console *console, struct runtime *runtime)
{
    /* It stands behind all disks. */
    enum raw_device device = (enum raw_device)(runtime->boot->device_count - 1);
    if (runtime->boot->devices[device].role != BOOT_DEVICE_CONSOLE) {
        panic("no console");
    }
    raw_ring_init(&console->ring, runtime, device, VIRTIO_CONSOLE_QUEUE_TRANSMIT);
    console->memory = raw_memory(runtime, LAYOUT_PAGE_LEN);
    if (!raw_negotiate(console->ring.registers_gpa, VIRTIO_F_VERSION_1)) {
        panic("the console refuses its features");
    }
}

void raw_console_open(struct raw_console *console, struct runtime *runtime)
{
    raw_console_init(console, runtime);
    raw_ring_enable(&console->ring);
    raw_start(console->ring.registers_gpa);
}

void raw_console_send(struct raw_console *console, const void *bytes, uint32_t len, uint32_t part_len)
{
    uint16_t count = 0;
    memcpy(console->memory, bytes, len);
    for (uint32_t off = 0; off < len; off += part_len, count++) {
        bool is_last = len - off <= part_len;
        raw_desc_set(&console->ring.desc[count], console->memory + off, is_last ? len - off : part_len,
                     (uint16_t)(is_last ? 0 : VIRTQ_DESC_F_NEXT), (uint16_t)(count + 1));
    }
    raw_ring_run(&console->ring, 0);
}
