/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/console_ports_device.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "abi/transports/console.h"
#include "abi/virtio_console.h"
#include "abi/virtio_mmio.h"
#include "host/devices/stream_files.h"
#include "host/devices/virtio_rounds.h"

/* Its place in the machine. */
#define DEVICE_INDEX 0u

/* What the guest has to be told of a port; a bit each, so that their number has a bound. In their order. */
#define TELL_ADDED 0x1u
#define TELL_NAME 0x2u
#define TELL_OPEN 0x4u
#define TELL_CLOSED 0x8u

struct port {
    const char *name;
    uint32_t tell; /* TELL_* */
    bool is_ready; /* the guest has said so */
    bool is_open;  /* likewise */
};

struct console_ports {
    struct virtio_mmio transport; /* first; its lock covers the rest */
    struct virtio_rounds rounds;
    bool is_ready;  /* the guest has said so */
    bool has_ended; /* the input stream */
    struct port ports[CONSOLE_PORT_COUNT];
    struct stream_source source;
    struct stream_sink sink;
    struct virtq_chain chain; /* the one being handled */
};

struct console_device {
    struct transport_device device; /* first */
    struct console_ports ports;
    bool has_ports;
};

/* Takes the next chain of a queue, if there is one, which holds buffers for one direction only. */
static bool chain_take(struct console_ports *console, unsigned int index, bool is_to_guest, bool *ret_is_there,
                       struct error *error)
{
    struct virtqueue *queue = &console->transport.queues[index];
    struct virtq_chain *chain = &console->chain;
    unsigned int available = 0;
    *ret_is_there = false;
    RETURN_IF_FAILED(!queue->is_enabled || virtqueue_available(queue, &available, error));
    if (available == 0) {
        return true;
    }
    RETURN_IF_FAILED(virtqueue_take(queue, chain, error));
    if ((is_to_guest ? chain->readable_count : chain->writable_count) > 0) {
        return error_set(error, ERROR_GUEST, NULL, "queue %u has a buffer for the other direction", index);
    }
    *ret_is_there = true;
    return true;
}

/* Sends bytes in one buffer; *ret_is_sent is false when the guest has none. */
static bool bytes_give(struct console_ports *console, unsigned int index, const void *bytes, size_t len,
                       bool *ret_is_sent, struct error *error)
{
    RETURN_IF_FAILED(chain_take(console, index, true, ret_is_sent, error));
    if (!*ret_is_sent) {
        return true;
    }
    const struct iovec *buffer = &console->chain.buffers[0];
    if (buffer->iov_len < len) {
        return error_set(error, ERROR_GUEST, NULL, "queue %u has a buffer of %zu bytes, for %zu", index,
                         buffer->iov_len, len);
    }
    memcpy(buffer->iov_base, bytes, len);
    virtqueue_put(&console->transport.queues[index], console->chain.head, (uint32_t)len);
    return true;
}

static bool control_check(const struct console_ports *console, const struct virtio_console_control *control,
                          struct error *error)
{
    bool is_about_port = control->event != VIRTIO_CONSOLE_DEVICE_READY;
    if (is_about_port && (control->id >= CONSOLE_PORT_COUNT || !console->is_ready)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest speaks of port %" PRIu32 ", which is not there",
                         control->id);
    }
    if (control->value > 1 || (control->value == 0 && control->event != VIRTIO_CONSOLE_PORT_OPEN)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends event %" PRIu16 " with the value %" PRIu16,
                         control->event, control->value);
    }
    return true;
}

static bool control_handle(struct console_ports *console, const struct virtio_console_control *control,
                           struct error *error)
{
    RETURN_IF_FAILED(control_check(console, control, error));
    struct port *port = &console->ports[control->id % CONSOLE_PORT_COUNT];
    switch (control->event) {
    case VIRTIO_CONSOLE_DEVICE_READY:
        for (unsigned int i = 0; i < CONSOLE_PORT_COUNT && !console->is_ready; i++) {
            console->ports[i].tell = TELL_ADDED;
        }
        console->is_ready = true;
        return true;
    case VIRTIO_CONSOLE_PORT_READY:
        port->tell |= port->is_ready ? 0 : TELL_NAME | TELL_OPEN;
        port->is_ready = true;
        return true;
    case VIRTIO_CONSOLE_PORT_OPEN:
        port->is_open = control->value == 1 && port->is_ready;
        return port->is_ready ||
               error_set(error, ERROR_GUEST, NULL, "the guest opens port %" PRIu32 " before it is ready", control->id);
    default:
        return error_set(error, ERROR_GUEST, NULL, "the guest sends the unknown event %" PRIu16, control->event);
    }
}

/* Messages of the guest about ports. */
static bool control_drain(struct console_ports *console, bool *ret_has_moved, struct error *error)
{
    bool is_there;
    for (;;) { /* ends: a guest that sends without end keeps its own machine busy, and can be ended by its limits */
        RETURN_IF_FAILED(chain_take(console, VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT, false, &is_there, error));
        if (!is_there || console->transport.machine->has_ended) {
            return true;
        }
        const struct iovec *buffer = &console->chain.buffers[0];
        struct virtio_console_control control;
        if (console->chain.readable_count != 1 || buffer->iov_len != sizeof(control)) {
            return error_set(error, ERROR_GUEST, NULL, "the guest sends a control message of %zu bytes in %u buffers",
                             buffer->iov_len, console->chain.readable_count);
        }
        memcpy(&control, buffer->iov_base, sizeof(control)); /* once: it stays writable to the guest */
        RETURN_IF_FAILED(control_handle(console, &control, error));
        virtqueue_put(&console->transport.queues[VIRTIO_CONSOLE_QUEUE_CONTROL_TRANSMIT], console->chain.head, 0);
        *ret_has_moved = true;
    }
}

/* Tells the guest the first thing that it has to know of a port; *ret_is_told is false when it has no buffer. */
static bool port_tell(struct console_ports *console, uint32_t id, bool *ret_is_told, struct error *error)
{
    static const struct {
        uint16_t event;
        uint16_t value;
    } events[] = {{VIRTIO_CONSOLE_DEVICE_ADD, 1},
                  {VIRTIO_CONSOLE_PORT_NAME, 1},
                  {VIRTIO_CONSOLE_PORT_OPEN, 1},
                  {VIRTIO_CONSOLE_PORT_OPEN, 0}};
    struct port *port = &console->ports[id];
    unsigned int bit = (unsigned int)__builtin_ctz(port->tell);
    struct virtio_console_control control = {id, events[bit].event, events[bit].value};
    uint8_t message[sizeof(control) + 16];
    size_t name_len = control.event == VIRTIO_CONSOLE_PORT_NAME ? strlen(port->name) : 0;
    memcpy(message, &control, sizeof(control));
    memcpy(message + sizeof(control), port->name, name_len);
    RETURN_IF_FAILED(bytes_give(console, VIRTIO_CONSOLE_QUEUE_CONTROL_RECEIVE, message, sizeof(control) + name_len,
                                ret_is_told, error));
    port->tell &= *ret_is_told ? port->tell - 1 : port->tell; /* the lowest bit */
    return true;
}

static bool control_fill(struct console_ports *console, bool *ret_has_moved, struct error *error)
{
    bool is_told = true;
    for (uint32_t id = 0; id < CONSOLE_PORT_COUNT; id++) {
        while (console->ports[id].tell != 0 && is_told) { /* ends: few bits */
            RETURN_IF_FAILED(port_tell(console, id, &is_told, error));
            *ret_has_moved |= is_told;
        }
    }
    return true;
}

/* The input, into the buffers that there are. */
static bool input_fill(struct console_ports *console, bool *ret_has_moved, struct error *error)
{
    const unsigned int index = VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(CONSOLE_PORT_INPUT);
    struct port *port = &console->ports[CONSOLE_PORT_INPUT];
    while (port->is_open && !console->has_ended) { /* ends: each buffer brings the stream nearer to its end */
        bool is_there;
        RETURN_IF_FAILED(chain_take(console, index, true, &is_there, error));
        if (!is_there) {
            return true;
        }
        size_t given_len = 0;
        for (unsigned int i = 0; i < console->chain.writable_count && !console->has_ended; i++) {
            const struct iovec *buffer = &console->chain.buffers[i];
            size_t len;
            RETURN_IF_FAILED(stream_source_next(&console->source, buffer->iov_base, buffer->iov_len, &len, error));
            given_len += len;
            console->has_ended = len < buffer->iov_len;
        }
        port->tell |= console->has_ended ? TELL_CLOSED : 0;
        virtqueue_put(&console->transport.queues[index], console->chain.head, (uint32_t)given_len);
        *ret_has_moved = true;
    }
    return true;
}

/* The reply that is due; *ret_is_sent is false when the guest has no buffer for it. */
static bool reply_give(struct console_ports *console, bool *ret_is_sent, struct error *error)
{
    size_t len;
    const void *reply = stream_sink_reply(&console->sink, &len);
    *ret_is_sent = true;
    if (len == 0) {
        return true;
    }
    RETURN_IF_FAILED(
        bytes_give(console, VIRTIO_CONSOLE_QUEUE_PORT_RECEIVE(CONSOLE_PORT_OUTPUT), reply, len, ret_is_sent, error));
    stream_sink_replied(&console->sink, *ret_is_sent ? len : 0);
    return true;
}

/* The chain is copied first: replies take others meanwhile. */
static bool output_chain_take(struct console_ports *console, struct error *error)
{
    struct virtq_chain chain = console->chain;
    for (unsigned int i = 0; i < chain.readable_count; i++) {
        const uint8_t *bytes = chain.buffers[i].iov_base;
        size_t left_len = chain.buffers[i].iov_len;
        while (left_len > 0) { /* ends: something is taken, or a reply is sent before */
            size_t taken_len;
            bool is_sent;
            RETURN_IF_FAILED(reply_give(console, &is_sent, error));
            if (!is_sent) {
                return error_set(error, ERROR_GUEST, NULL, "the guest goes on without a buffer for a reply");
            }
            RETURN_IF_FAILED(stream_sink_take(&console->sink, bytes, left_len, &taken_len, error));
            bytes += taken_len;
            left_len -= taken_len;
        }
    }
    virtqueue_put(&console->transport.queues[VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT)], chain.head, 0);
    return true;
}

static bool output_drain(struct console_ports *console, bool *ret_has_moved, struct error *error)
{
    for (;;) { /* ends: the guest's stream is bounded by the file, or breaks its rules */
        size_t reply_len;
        bool is_there;
        stream_sink_reply(&console->sink, &reply_len);
        RETURN_IF_FAILED(reply_give(console, &is_there, error));
        *ret_has_moved |= reply_len > 0 && is_there;
        if (!is_there || console->transport.machine->has_ended) {
            return true;
        }
        RETURN_IF_FAILED(
            chain_take(console, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_OUTPUT), false, &is_there, error));
        if (!is_there) {
            return true;
        }
        if (!console->ports[CONSOLE_PORT_OUTPUT].is_open) {
            return error_set(error, ERROR_GUEST, NULL, "the guest sends on a port that it has not opened");
        }
        RETURN_IF_FAILED(output_chain_take(console, error));
        *ret_has_moved = true;
    }
}

static bool input_port_check(struct console_ports *console, struct error *error)
{
    bool is_there;
    RETURN_IF_FAILED(
        chain_take(console, VIRTIO_CONSOLE_QUEUE_PORT_TRANSMIT(CONSOLE_PORT_INPUT), false, &is_there, error));
    return !is_there || error_set(error, ERROR_GUEST, NULL, "the guest sends on the input's port");
}

static bool round_run(struct virtio_mmio *transport, bool *ret_has_moved, struct error *error)
{
    struct console_ports *console = (struct console_ports *)transport;
    return control_drain(console, ret_has_moved, error) && input_fill(console, ret_has_moved, error) &&
           input_port_check(console, error) && output_drain(console, ret_has_moved, error) &&
           control_fill(console, ret_has_moved, error);
}

static bool console_activate(struct virtio_mmio *transport, struct error *error)
{
    struct console_ports *console = (struct console_ports *)transport;
    if ((transport->negotiated & VIRTIO_CONSOLE_F_MULTIPORT) == 0) {
        return error_set(error, ERROR_GUEST, NULL, "the driver does without ports");
    }
    console->is_ready = false;
    for (unsigned int i = 0; i < CONSOLE_PORT_COUNT; i++) {
        console->ports[i] = (struct port){.name = console->ports[i].name};
    }
    return true;
}

static const struct virtio_device_operations console_operations = {
    .device_id = VIRTIO_DEVICE_ID_CONSOLE,
    .activate = console_activate,
};

static void console_release(struct transport_device *device)
{
    struct console_device *console = (struct console_device *)device;
    if (console->has_ports) {
        virtio_mmio_release(&console->ports.transport);
    }
    free(console);
}

static bool ports_init(struct console_device *device, const struct transport_device_setup *setup, struct error *error)
{
    static const unsigned int queues[CONSOLE_QUEUE_COUNT] = {0, 1, 2, 3, 4, 5};
    struct console_ports *console = &device->ports;
    struct virtio_mmio_config config = {
        .operations = &console_operations,
        .name = "console",
        .index = DEVICE_INDEX,
        .queue_count = CONSOLE_QUEUE_COUNT,
        .use_ioeventfd = setup->use_ioeventfd,
        .bank = setup->bank,
    };
    device->has_ports = virtio_mmio_init(&console->transport, setup->machine, &config, error);
    RETURN_IF_FAILED(device->has_ports);
    console->ports[CONSOLE_PORT_INPUT].name = "input";
    console->ports[CONSOLE_PORT_OUTPUT].name = "output";
    console->source.file = setup->input;
    console->sink.file = setup->output;
    console->rounds = (struct virtio_rounds){&console->transport, round_run};
    RETURN_IF_FAILED(virtio_rounds_add(&console->rounds, setup->thread, queues, CONSOLE_QUEUE_COUNT, error));
    struct virtio_console_config own_config = {.max_nr_ports = CONSOLE_PORT_COUNT};
    virtio_mmio_set_config(&console->transport, 0, &own_config, sizeof(own_config));
    virtio_mmio_attach(&console->transport, VIRTIO_CONSOLE_F_MULTIPORT);
    return true;
}

static bool console_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                         struct error *error)
{
    struct console_device *console = calloc(1, sizeof(*console));
    if (console == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    console->device.operations = &console_ports_device;
    if (!ports_init(console, setup, error)) {
        console_release(&console->device);
        return false;
    }
    *ret_device = &console->device;
    return true;
}

const struct transport_device_operations console_ports_device = {.make = console_make, .release = console_release};
