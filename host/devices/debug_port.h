/* SPDX-License-Identifier: Apache-2.0 */
/* COM2: the guest's debug text, handed on line by line. */
#ifndef INSTAR_HOST_DEVICES_DEBUG_PORT_H
#define INSTAR_HOST_DEVICES_DEBUG_PORT_H

#include <pthread.h>
#include <stdint.h>

#include "host/vmm/machine.h"

/* A longer line is handed on in pieces. */
#define DEBUG_LINE_MAX 500u
/*
 * A program that works writes a few lines. One that writes more than this floods the host, and is ended:
 * the text costs the host's time whether it is shown or not.
 */
#define DEBUG_TEXT_MAX (1024u * 1024u)

/* Called for each line, without its end and NUL-terminated, under the device's lock. May be NULL. */
typedef void (*debug_line_handler)(void *context, const char *line);

struct debug_port {
    pthread_mutex_t lock;
    char line[DEBUG_LINE_MAX + 1];
    size_t line_len;
    char last_line[DEBUG_LINE_MAX + 1]; /* the last one handed on */
    uint64_t text_len;                  /* bytes so far */
    debug_line_handler handler;
    void *context;
};

bool debug_port_init(struct debug_port *port, struct machine *machine, debug_line_handler handler, void *context,
                     struct error *error);
/* Hands on a last line that has no end. */
void debug_port_flush(struct debug_port *port);
/* Copies the last line; empty when there was none. */
void debug_port_last_line(struct debug_port *port, char ret_line[DEBUG_LINE_MAX + 1]);
void debug_port_release(struct debug_port *port);

#endif
