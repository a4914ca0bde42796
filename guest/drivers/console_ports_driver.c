/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/console_ports_driver.h"

#include <stddef.h>
#include <string.h>

#include "abi/virtio_mmio.h"
#include "base/checked.h"
#include "guest/drivers/device_queue.h"

#define NAME "console"
/* A message of the host's about a port, with its name. */
#define CONTROL_LEN 64u
#define CONTROL_COUNT 8u

struct control_buffer {
    uint8_t bytes[CONTROL_LEN];
} __attribute__((aligned(64)));

static bool broken(struct error *error)
{
    return error_set(error, ERROR_HOST, NAME, "the device broke a virtqueue");
}

static void publish(struct console_ports *console, struct virtqueue *queue, uint32_t index)
{
    if (virtqueue_publish(queue)) {
        virtio_mmio_notify(&console->mmio, (uint16_t)index);
    }
}

static void control_offer(struct console_ports *console, struct control_buffer *buffer)
{
    struct virtqueue_part part = {(uint64_t)(uintptr_t)buffer, sizeof(*buffer), true};
    virtqueue_add(&console->control_receive, &part, 1, buffer);
}

/* Messages of the host that have come. */
static bool control_take(struct console_ports *console, struct error *error)
{
    void *token;
    uint32_t written_len;
    enum virtqueue_taken taken;
    while ((taken = virtqueue_take(&console->control_receive, &token, &written_len)) == VIRTQUEUE_TAKEN) {
        struct virtio_console_control control;
        memcpy(&control, token, sizeof(control));
        control_offer(console, token);
        if (written_len < sizeof(control) || control.id >= CONSOLE_PORT_COUNT) {
            return error_set(error, ERROR_HOST, NAME, "the device speaks of port %u", control.id);
        }
        struct console_port *port = &console->ports[control.id];
        port->is_added |= control.event == VIRTIO_CONSOLE_DEVICE_ADD;
        if (control.event == VIRTIO_CONSOLE_PORT_OPEN) {
            port->is_closed = port->is_open && control.value == 0;
            port->is_open = control.value != 0;
        }
    }
    publish(console, &console->control_receive, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE);
    return taken == VIRTQUEUE_EMPTY || broken(error);
}

/* Until `queue` has used something, or the host has said something. */
static bool wait_for(struct console_ports *console, struct virtqueue *queue, struct error *error)
{
    struct virtqueue *const queues[] = {queue, &console->control_receive};
    return device_queues_wait(&console->mmio, queues, ARRAY_COUNT(queues), console->poll_ticks, error) &&
           control_take(console, error);
}

/* Says something about a port and waits until the host has heard it. */
static bool control_send(struct console_ports *console, uint32_t id, enum virtio_console_event event,
                         struct error *error)
{
    *console->control = (struct virtio_console_control){.id = id, .event = (uint16_t)event, .value = 1};
    struct virtqueue_part part = {(uint64_t)(uintptr_t)console->control, sizeof(*console->control), false};
    virtqueue_add(&console->control_transmit, &part, 1, console);
    publish(console, &console->control_transmit, VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT);
    for (;;) {
        void *token;
        uint32_t written_len;
        switch (virtqueue_take(&console->control_transmit, &token, &written_len)) {
        case VIRTQUEUE_TAKEN:
            return true;
        case VIRTQUEUE_BROKEN:
            return broken(error);
        case VIRTQUEUE_EMPTY:
            RETURN_IF_FAILED(wait_for(console, &console->control_transmit, error));
        }
    }
}

static bool queue_open(struct console_ports *console, const struct console_ports_setup *setup, uint32_t index,
                       uint32_t size_max, struct virtqueue *queue, struct error *error)
{
    struct device_queue_setup queue_setup = {.index = (uint16_t)index,
                                             .size_max = (uint16_t)min_u64(size_max, VIRTQUEUE_SIZE_MAX),
                                             .parts_max = 1,
                                             .rings = setup->rings,
                                             .arena = setup->arena};
    return device_queue_open(&console->mmio, &queue_setup, queue, error);
}

static bool queues_open(struct console_ports *console, const struct console_ports_setup *setup, struct error *error)
{
    RETURN_IF_FAILED(queue_open(console, setup, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE, CONTROL_COUNT,
                                &console->control_receive, error));
    RETURN_IF_FAILED(
        queue_open(console, setup, VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT, 1, &console->control_transmit, error));
    for (uint32_t id = 0; id < CONSOLE_PORT_COUNT; id++) {
        struct console_port *port = &console->ports[id];
        RETURN_IF_FAILED(
            queue_open(console, setup, VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(id), setup->depth, &port->receive, error));
        RETURN_IF_FAILED(
            queue_open(console, setup, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(id), setup->depth, &port->transmit, error));
    }
    struct control_buffer *buffers =
        arena_allocate(setup->arena, CONTROL_COUNT * sizeof(*buffers), _Alignof(struct control_buffer));
    console->control = arena_allocate(setup->arena, sizeof(*console->control), sizeof(*console->control));
    if (buffers == NULL || console->control == NULL) {
        return error_set(error, ERROR_LIMIT, NAME, "the machine has no memory for messages about ports");
    }
    for (uint16_t i = 0; i < console->control_receive.size; i++) {
        control_offer(console, &buffers[i]);
    }
    return true;
}

static bool port_open(struct console_ports *console, uint32_t id, struct error *error)
{
    struct console_port *port = &console->ports[id];
    while (!port->is_added) {
        RETURN_IF_FAILED(wait_for(console, &console->control_transmit, error));
    }
    RETURN_IF_FAILED(control_send(console, id, VIRTIO_CONSOLE_PORT_READY, error));
    while (!port->is_open) {
        RETURN_IF_FAILED(wait_for(console, &console->control_transmit, error));
    }
    return control_send(console, id, VIRTIO_CONSOLE_PORT_OPEN, error);
}

bool console_ports_open(struct console_ports *console, const struct console_ports_setup *setup, struct error *error)
{
    *console = (struct console_ports){.poll_ticks = setup->poll_ticks, .request_len = setup->request_len};
    struct virtio_mmio_open open = {
        .name = NAME,
        .registers_gpa = setup->registers_gpa,
        .device_id = VIRTIO_DEVICE_ID_CONSOLE,
        .features = {VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_CONSOLE_F_MULTIPORT},
        .memory = setup->rings,
    };
    RETURN_IF_FAILED(virtio_mmio_open(&console->mmio, &open, error));
    uint64_t count =
        virtio_mmio_read_config(&console->mmio, offsetof(struct virtio_console_config, max_nr_ports), sizeof(uint32_t));
    if (count < CONSOLE_PORT_COUNT) {
        return error_set(error, ERROR_HOST, NAME, "the device has %u ports", (uint32_t)count);
    }
    RETURN_IF_FAILED(queues_open(console, setup, error));
    RETURN_IF_FAILED(virtio_mmio_start(&console->mmio, error));
    publish(console, &console->control_receive, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE);
    RETURN_IF_FAILED(control_send(console, 0, VIRTIO_CONSOLE_DEVICE_READY, error));
    for (uint32_t id = 0; id < CONSOLE_PORT_COUNT; id++) {
        RETURN_IF_FAILED(port_open(console, id, error));
    }
    return true;
}

/* A transfer of several buffers, which the device uses in their order. */
struct transfer {
    uint8_t *data;
    uint64_t len;
    uint64_t offered_len;
    uint64_t done_len;
    bool device_writes;
};

static uint64_t part_len(const struct console_ports *console, const struct transfer *transfer, uint64_t off)
{
    return min_u64(transfer->len - off, console->request_len);
}

static void transfer_offer(const struct console_ports *console, struct virtqueue *queue, struct transfer *transfer)
{
    while (transfer->offered_len < transfer->len && virtqueue_room(queue) > 0) {
        uint8_t *data = transfer->data + transfer->offered_len;
        uint64_t len = part_len(console, transfer, transfer->offered_len);
        struct virtqueue_part part = {(uint64_t)(uintptr_t)data, (uint32_t)len, transfer->device_writes};
        virtqueue_add(queue, &part, 1, data);
        transfer->offered_len += len;
    }
}

/* Takes back what was used. A buffer that came back early, or not full, is the stream's end. */
static bool transfer_take(const struct console_ports *console, struct virtqueue *queue, struct transfer *transfer,
                          struct error *error)
{
    void *token;
    uint32_t written_len;
    enum virtqueue_taken taken;
    while ((taken = virtqueue_take(queue, &token, &written_len)) == VIRTQUEUE_TAKEN) {
        uint64_t len = part_len(console, transfer, transfer->done_len);
        if (token != transfer->data + transfer->done_len || (transfer->device_writes && written_len != len)) {
            return error_set(error, ERROR_IO, NAME, "the host's data ends early");
        }
        transfer->done_len += len;
    }
    return taken == VIRTQUEUE_EMPTY || broken(error);
}

static bool transfer_run(struct console_ports *console, uint32_t id, struct transfer *transfer, struct error *error)
{
    struct console_port *port = &console->ports[id];
    struct virtqueue *queue = transfer->device_writes ? &port->receive : &port->transmit;
    uint32_t index =
        transfer->device_writes ? VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(id) : VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(id);
    for (;;) { /* ends: the host uses buffers, or closes the port, or the job has a limit of time */
        transfer_offer(console, queue, transfer);
        publish(console, queue, index);
        bool was_closed = port->is_closed; /* what the host used before is there by now */
        uint64_t before_len = transfer->done_len;
        RETURN_IF_FAILED(transfer_take(console, queue, transfer, error));
        if (transfer->done_len == transfer->len) {
            return true;
        }
        if (transfer->done_len > before_len) {
            continue; /* there is room for more */
        }
        if (was_closed) {
            return error_set(error, ERROR_IO, NAME, "the host has closed port %u", id);
        }
        RETURN_IF_FAILED(wait_for(console, queue, error));
    }
}

bool console_port_send(struct console_ports *console, uint32_t id, const void *data, uint64_t len, struct error *error)
{
    struct transfer transfer = {.data = (uint8_t *)(uintptr_t)data, .len = len};
    return transfer_run(console, id, &transfer, error);
}

bool console_port_receive(struct console_ports *console, uint32_t id, void *data, uint64_t len, struct error *error)
{
    struct transfer transfer = {.data = data, .len = len, .device_writes = true};
    return transfer_run(console, id, &transfer, error);
}
