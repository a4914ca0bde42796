/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/raw_ports.h"

#include <string.h>

void raw_ports_init(struct raw_ports *ports, struct runtime *runtime)
{
    ports->memory = raw_memory(runtime, 2 * LAYOUT_PAGE_LEN);
    for (uint32_t i = 0; i < CONSOLE_QUEUE_COUNT; i++) {
        raw_ring_init(&ports->rings[i], runtime, RAW_INPUT, i);
    }
    uint64_t registers_gpa = ports->rings[0].registers_gpa;
    if (!raw_negotiate(registers_gpa, raw_features(registers_gpa) & ~VIRTIO_F_EVENT_IDX)) {
        panic("the device refuses the features that it offers");
    }
    for (uint32_t i = 0; i < CONSOLE_QUEUE_COUNT; i++) {
        raw_ring_enable(&ports->rings[i]);
    }
    raw_start(registers_gpa);
}

void raw_ports_run(struct raw_ports *ports, uint32_t queue, uint32_t len, uint16_t flags)
{
    struct raw_ring *ring = &ports->rings[queue];
    uint64_t off = flags == VIRTQ_DESC_F_WRITE ? LAYOUT_PAGE_LEN : 0;
    raw_desc_set(&ring->desc[0], ports->memory + off, len, flags, 0);
    raw_ring_run(ring, 0);
}

void raw_ports_say(struct raw_ports *ports, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control control = {id, event, value};
    memcpy(ports->memory, &control, sizeof(control));
    raw_ports_run(ports, VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT, sizeof(control), 0);
}

void raw_ports_open(struct raw_ports *ports, struct runtime *runtime)
{
    raw_ports_init(ports, runtime);
    raw_ports_say(ports, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (uint32_t id = 0; id < CONSOLE_PORT_COUNT; id++) {
        raw_ports_say(ports, id, VIRTIO_CONSOLE_PORT_READY, 1);
        raw_ports_say(ports, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
    }
}
