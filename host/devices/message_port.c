/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/message_port.h"

#include <assert.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "base/endian.h"

static uint32_t frame_body_len(const struct message_port *port)
{
    struct le32 head;
    memcpy(&head, port->frame, sizeof(head));
    return le32_get(head);
}

/* Takes as many bytes from the guest as its message, or the head of it, still wants; returns how many in *ret_len. */
static bool part_take(struct message_port *port, const uint8_t *bytes, size_t len, size_t *ret_len, struct error *error)
{
    size_t whole_len = FRAME_HEAD_LEN;
    if (port->frame_len >= FRAME_HEAD_LEN) {
        whole_len += frame_body_len(port);
    }
    *ret_len = (size_t)min_u64(whole_len - port->frame_len, len);
    /* Guest memory, when it comes from the console: copied first, then looked at. */
    memcpy(port->frame + port->frame_len, bytes, *ret_len);
    port->frame_len += *ret_len;
    if (port->frame_len < FRAME_HEAD_LEN) {
        return true;
    }
    uint32_t body_len = frame_body_len(port);
    if (body_len > FRAME_BODY_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sent a message of %u bytes, more than %u", body_len,
                         FRAME_BODY_MAX);
    }
    if (port->frame_len == FRAME_HEAD_LEN + body_len) {
        port->handler(port->context, (struct span){port->frame + FRAME_HEAD_LEN, body_len});
        port->frame_len = 0;
    }
    return true;
}

/* Under the lock. */
static bool bytes_take(struct message_port *port, const uint8_t *bytes, size_t len, struct error *error)
{
    while (len > 0) {
        size_t part_len;
        RETURN_IF_FAILED(part_take(port, bytes, len, &part_len, error));
        bytes += part_len;
        len -= part_len;
    }
    return true;
}

bool message_port_take(struct message_port *port, const uint8_t *bytes, size_t len, struct error *error)
{
    pthread_mutex_lock(&port->lock);
    bool is_taken = bytes_take(port, bytes, len, error);
    pthread_mutex_unlock(&port->lock);
    return is_taken;
}

/* Past the end of the input a UART repeats what its line idles at. */
static uint8_t byte_give(struct message_port *port)
{
    return port->input_off < port->input_len ? port->input[port->input_off++] : 0xff;
}

static bool data_access(void *device, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct message_port *port = device;
    if (off != 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest used a register that the message port does not have");
    }
    size_t len = (size_t)access->width * access->count;
    if (access->is_write) {
        return message_port_take(port, access->data, len, error);
    }
    pthread_mutex_lock(&port->lock);
    for (size_t i = 0; i < len; i++) {
        access->data[i] = byte_give(port);
    }
    pthread_mutex_unlock(&port->lock);
    return true;
}

static bool status_access(void *device, uint64_t off UNUSED, const struct bus_access *access,
                          struct error *error UNUSED)
{
    struct message_port *port = device;
    if (!access->is_write) {
        pthread_mutex_lock(&port->lock);
        bool has_input = port->input_off < port->input_len;
        pthread_mutex_unlock(&port->lock);
        memset(access->data, PORT_STATUS_OUTPUT_EMPTY | (has_input ? PORT_STATUS_INPUT_READY : 0), access->count);
    }
    return true;
}

/* Under the lock. */
static void input_fill(struct message_port *port, struct span body)
{
    assert(body.len <= FRAME_BODY_MAX);
    struct le32 head = le32_make((uint32_t)body.len);
    memcpy(port->input, &head, sizeof(head));
    memcpy(port->input + FRAME_HEAD_LEN, body.data, body.len);
    port->input_len = FRAME_HEAD_LEN + body.len;
    port->input_off = 0;
}

bool message_port_init(struct message_port *port, struct machine *machine, message_handler handler, void *context,
                       struct error *error)
{
    port->machine = machine;
    port->handler = handler;
    port->context = context;
    port->input_len = port->input_off = port->frame_len = 0; /* not the buffers: pages that are touched cost time */
    pthread_mutex_init(&port->lock, NULL);
    bus_add(&machine->ports, PORT_MESSAGE_DATA, PORT_DATA_SPAN, data_access, port);
    bus_add(&machine->ports, PORT_MESSAGE_STATUS, 1, status_access, port);
    return machine->engine->operations->coalesce_writes(machine->engine, true, PORT_MESSAGE_DATA, PORT_DATA_SPAN,
                                                        error);
}

bool message_port_send(struct message_port *port, struct span body, struct error *error)
{
    pthread_mutex_lock(&port->lock);
    bool is_read = port->input_off == port->input_len;
    if (is_read) {
        input_fill(port, body);
    }
    pthread_mutex_unlock(&port->lock);
    if (!is_read) {
        return error_set(error, ERROR_GUEST, NULL, "the guest does not read the messages it asked for");
    }
    machine_signal(port->machine, WAIT_INPUT);
    return true;
}

void message_port_release(struct message_port *port)
{
    pthread_mutex_destroy(&port->lock);
}

bool message_port_is_within_message(struct message_port *port)
{
    pthread_mutex_lock(&port->lock);
    bool is_within = port->frame_len > 0;
    pthread_mutex_unlock(&port->lock);
    return is_within;
}
