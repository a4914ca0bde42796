/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says by a mailbox: any request, to ports and to the registers of disks, one after the other; and what
 * is behind them, from frames of messages to the handshake of a device.
 *
 * An input is requests: a byte that says how the rest is to be understood, then a head of struct mailbox, or a short
 * form of it, and the data.
 */
#include <string.h>

#include "abi/mailbox.h"
#include "abi/ports.h"
#include "base/checked.h"
#include "fuzz.h"
#include "fuzz_machine.h"
#include "host/devices/control_port.h"
#include "host/devices/debug_port.h"
#include "host/devices/message_port.h"
#include "host/vmm/engines/process_private.h"

#define REQUESTS_MAX 256u

static struct message_port message_port;
static struct debug_port debug_port;
static struct control_ports control_ports;

/* Looks at every byte. */
static void message_take(void *context UNUSED, struct span body)
{
    static volatile uint8_t sum;
    FUZZ_ASSERT(body.len <= FRAME_BODY_MAX);
    for (size_t i = 0; i < body.len; i++) {
        sum = (uint8_t)(sum + body.data[i]);
    }
}

static void line_take(void *context UNUSED, const char *line)
{
    FUZZ_ASSERT(strlen(line) <= DEBUG_LINE_MAX && strchr(line, '\n') == NULL);
}

static void mailbox_fill(struct mailbox *mailbox, struct fuzz_input *input)
{
    static const uint16_t ports[] = {PORT_MESSAGE_DATA, PORT_MESSAGE_STATUS, PORT_DEBUG_DATA, PORT_DEBUG_STATUS,
                                     PORT_PROGRESS,     PORT_WAIT,           PORT_WAKE,       PORT_EXIT};
    uint64_t form = fuzz_take(input, 1);
    memset(mailbox, 0, sizeof(*mailbox));
    if (form == 0) {
        struct span head = fuzz_take_span(input, MAILBOX_HEAD_LEN);
        if (head.len > 0) {
            memcpy(mailbox, head.data, head.len);
        }
    } else {
        bool is_port = (form & 1) != 0;
        mailbox->kind = is_port ? MAILBOX_PORT : MAILBOX_REGISTER;
        mailbox->is_write = (form & 2) == 0;
        mailbox->width = is_port ? 1u << (form >> 2 & 1) : 4;
        mailbox->count = is_port ? (uint32_t)fuzz_take(input, 1) : 1;
        mailbox->address = is_port ? ports[(form >> 3) % ARRAY_COUNT(ports)]
                                   : LAYOUT_REGISTERS_DEVICE_GPA(form >> 3 & 1) + fuzz_take(input, 2) % 0x200;
    }
    struct span bytes =
        fuzz_take_span(input, (size_t)min_u64((uint64_t)mailbox->width * mailbox->count, MAILBOX_DATA_LEN));
    if (bytes.len > 0) {
        memcpy(mailbox->data, bytes.data, bytes.len);
    }
}

static bool request_handle(struct machine *machine, const struct mailbox *mailbox, struct error *error)
{
    uint8_t data[MAILBOX_DATA_LEN];
    struct process_request request;
    RETURN_IF_FAILED(process_request_take(mailbox, data, &request, error));
    FUZZ_ASSERT((uint64_t)request.access.width * request.access.count <= sizeof(data));
    /* Nobody is here to wake a vCPU that waits. */
    machine_signal(machine, WAIT_EVENTS);
    return bus_dispatch(request.is_port ? &machine->ports : &machine->registers, &request.access, error);
}

static void requests_run(struct machine *machine, struct fuzz_input *input)
{
    struct mailbox *mailbox = malloc(sizeof(*mailbox));
    FUZZ_ASSERT(mailbox != NULL);
    for (unsigned int i = 0; i < REQUESTS_MAX && input->len > 0 && !machine->has_ended; i++) {
        struct error error = {0};
        mailbox_fill(mailbox, input);
        if (!request_handle(machine, mailbox, &error)) {
            FUZZ_ASSERT(error_is_set(&error));
            machine_end(machine, &error);
        }
        fuzz_machine_serve();
    }
    free(mailbox);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    struct error error = {0};
    struct machine *machine = fuzz_machine_start(0);
    FUZZ_ASSERT(debug_port_init(&debug_port, machine, line_take, NULL, &error));
    FUZZ_ASSERT(message_port_init(&message_port, machine, message_take, NULL, &error));
    control_ports = (struct control_ports){.machine = machine, .debug_port = &debug_port};
    control_ports_init(&control_ports);
    requests_run(machine, &input);
    (void)message_port_is_within_message(&message_port);
    debug_port_flush(&debug_port);
    debug_port_release(&debug_port);
    message_port_release(&message_port);
    fuzz_machine_stop();
}
