/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/debug_port.h"

#include <string.h>

#include "abi/ports.h"

static void line_end(struct debug_port *port)
{
    port->line[port->line_len] = '\0';
    memcpy(port->last_line, port->line, port->line_len + 1);
    port->line_len = 0;
    if (port->handler != NULL) {
        port->handler(port->context, port->line);
    }
}

static void byte_take(struct debug_port *port, char byte)
{
    if (byte == '\n') {
        line_end(port);
        return;
    }
    /* A NUL would hide the rest of the line. */
    port->line[port->line_len++] = byte != '\0' ? byte : ' ';
    if (port->line_len == DEBUG_LINE_MAX) {
        line_end(port);
    }
}

static bool data_access(void *device, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct debug_port *port = device;
    uint64_t len = (uint64_t)access->width * access->count;
    if (!access->is_write) {
        memset(access->data, 0xff, len);
        return true;
    }
    pthread_mutex_lock(&port->lock);
    port->text_len += len;
    bool is_flood = port->text_len > DEBUG_TEXT_MAX;
    for (uint64_t i = 0; i < len && !is_flood; i++) {
        byte_take(port, (char)access->data[i]);
    }
    pthread_mutex_unlock(&port->lock);
    if (is_flood) {
        return error_set(error, ERROR_LIMIT, NULL, "the guest wrote more than %u bytes of debug text", DEBUG_TEXT_MAX);
    }
    return true;
}

static bool status_access(void *device UNUSED, uint64_t off UNUSED, const struct bus_access *access,
                          struct error *error UNUSED)
{
    if (!access->is_write) {
        memset(access->data, PORT_STATUS_OUTPUT_EMPTY, access->count);
    }
    return true;
}

bool debug_port_init(struct debug_port *port, struct machine *machine, debug_line_handler handler, void *context,
                     struct error *error)
{
    *port = (struct debug_port){.handler = handler, .context = context};
    pthread_mutex_init(&port->lock, NULL);
    bus_add(&machine->ports, PORT_DEBUG_DATA, PORT_DATA_SPAN, data_access, port);
    bus_add(&machine->ports, PORT_DEBUG_STATUS, 1, status_access, port);
    return machine->engine->operations->coalesce_writes(machine->engine, true, PORT_DEBUG_DATA, PORT_DATA_SPAN, error);
}

void debug_port_flush(struct debug_port *port)
{
    pthread_mutex_lock(&port->lock);
    if (port->line_len > 0) {
        line_end(port);
    }
    pthread_mutex_unlock(&port->lock);
}

void debug_port_last_line(struct debug_port *port, char ret_line[DEBUG_LINE_MAX + 1])
{
    pthread_mutex_lock(&port->lock);
    memcpy(ret_line, port->last_line, sizeof(port->last_line));
    pthread_mutex_unlock(&port->lock);
}

void debug_port_release(struct debug_port *port)
{
    pthread_mutex_destroy(&port->lock);
}
