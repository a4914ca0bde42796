/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1: framed messages in both directions (abi/ports.h, abi/framing.h). The device knows frames, not what is
 * in them. A console (virtio_console_device.h) may add to what the guest sends.
 */
#ifndef INSTAR_HOST_DEVICES_MESSAGE_PORT_H
#define INSTAR_HOST_DEVICES_MESSAGE_PORT_H

#include <pthread.h>
#include <stdint.h>

#include "abi/framing.h"
#include "base/span.h"
#include "host/vmm/machine.h"

/* Called for each whole message, under the device's lock; `body` is valid during the call. */
typedef void (*message_handler)(void *context, struct span body);

struct message_port {
    pthread_mutex_t lock;
    struct machine *machine;
    uint8_t input[FRAME_HEAD_LEN + FRAME_BODY_MAX]; /* for the guest */
    size_t input_len;
    size_t input_off;                               /* what the guest has read */
    uint8_t frame[FRAME_HEAD_LEN + FRAME_BODY_MAX]; /* the message that is arriving */
    size_t frame_len;
    message_handler handler;
    void *context;
};

/* Puts the port on the machine's bus. `body`: the first message for the guest, up to FRAME_BODY_MAX bytes. */
bool message_port_init(struct message_port *port, struct machine *machine, message_handler handler, void *context,
                       struct error *error);
void message_port_release(struct message_port *port);

/* Takes bytes that the guest sends by another way than the port. Any thread. */
bool message_port_take(struct message_port *port, const uint8_t *bytes, size_t len, struct error *error);

/*
 * Gives the guest another message, up to FRAME_BODY_MAX bytes, and tells it (WAIT_INPUT). Fails when the guest has not
 * read the one before. Any thread.
 */
bool message_port_send(struct message_port *port, struct span body, struct error *error);

/* Whether the guest stopped in the middle of a message. */
bool message_port_is_within_message(struct message_port *port);

#endif
