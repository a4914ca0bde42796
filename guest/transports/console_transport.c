/* SPDX-License-Identifier: Apache-2.0 */
/* The transport console (abi/transports/console.h): the two streams as ports of a virtio-console device. */
#include "guest/drivers/console_ports_driver.h"
#include "guest/drivers/device_queue.h"
#include "guest/transports/stream_transport.h"
#include "guest/transports/transport_kinds.h"

struct console {
    struct stream_transport stream; /* first */
    struct console_ports ports;
};

static bool input_receive(struct stream_transport *stream, void *data, uint64_t len, struct error *error)
{
    return console_port_receive(&((struct console *)stream)->ports, CONSOLE_PORT_INPUT, data, len, error);
}

static bool output_receive(struct stream_transport *stream, void *data, uint64_t len, struct error *error)
{
    return console_port_receive(&((struct console *)stream)->ports, CONSOLE_PORT_OUTPUT, data, len, error);
}

static bool output_send(struct stream_transport *stream, const void *data, uint64_t len, struct error *error)
{
    return console_port_send(&((struct console *)stream)->ports, CONSOLE_PORT_OUTPUT, data, len, error);
}

static const struct stream_carrier carrier = {
    .input_receive = input_receive,
    .output_receive = output_receive,
    .output_send = output_send,
};

static bool console_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct console *console = arena_allocate(setup->arena, sizeof(*console), _Alignof(struct console));
    if (console == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    const struct boot_info *boot = setup->boot;
    struct console_ports_setup ports_setup = {
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(0),
        .poll_ticks = transport_poll_ticks(boot, device_queue_poll_ticks(boot->tsc_khz)),
        .request_len = setup->request_len,
        .depth = setup->depth,
        .rings = setup->queues,
        .arena = setup->arena,
    };
    RETURN_IF_FAILED(console_ports_open(&console->ports, &ports_setup, error));
    *ret_transport = &console->stream.transport;
    return stream_open(&console->stream, &console_transport, &carrier, setup, error);
}

const struct transport_operations console_transport = {
    .name = "console",
    .id = TRANSPORT_CONSOLE,
    .is_sequential = true,
    .open = console_open,
    .read = stream_read,
    .write = stream_write,
    .flush = stream_flush,
    .finish = stream_finish,
};
