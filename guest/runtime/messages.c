/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/messages.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "abi/framing.h"
#include "abi/layout.h"
#include "abi/ports.h"
#include "base/checked.h"
#include "base/endian.h"
#include "base/text.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"

_Static_assert(instar_GuestMessage_size <= FRAME_BODY_MAX, "the host accepts every message");

static bool decode(const pb_msgdesc_t *fields, struct span body, void *ret_message, const char *what,
                   struct error *error)
{
    if (body.len == 0 || body.len > LAYOUT_MESSAGE_LEN) {
        return error_set(error, ERROR_HOST, NULL, "%s of %u bytes", what, (unsigned int)body.len);
    }
    pb_istream_t stream = pb_istream_from_buffer(body.data, body.len);
    if (!pb_decode(&stream, fields, ret_message)) {
        return error_set(error, ERROR_HOST, NULL, "%s that cannot be decoded: %s", what, PB_GET_ERROR(&stream));
    }
    return true;
}

bool messages_receive_config(instar_VmmConfig *ret_config, struct error *error)
{
    return decode(instar_VmmConfig_fields, platform_first_message(), ret_config, "a configuration", error);
}

bool messages_receive_job(instar_ImageJob *ret_job, struct error *error)
{
    return decode(instar_ImageJob_fields, platform_first_message(), ret_job, "a job", error);
}

/* One read for the frame's head and body: each one leaves the machine. Where nothing waits, COM1 reads as 0xff. */
bool messages_receive_reply(instar_OpenReply *ret_reply, bool *ret_is_there, struct error *error)
{
    uint8_t frame[FRAME_HEAD_LEN + instar_OpenReply_size];
    struct le32 head;
    platform_port_read(PORT_MESSAGE_DATA, frame, sizeof(frame));
    memcpy(&head, frame, sizeof(head));
    uint32_t len = le32_get(head);
    if (len == UINT32_MAX) {
        *ret_is_there = false;
        return true;
    }
    if (len > instar_OpenReply_size) {
        return error_set(error, ERROR_HOST, NULL, "an answer of %u bytes", len);
    }
    *ret_is_there = true;
    return decode(instar_OpenReply_fields, (struct span){frame + FRAME_HEAD_LEN, len}, ret_reply, "an answer", error);
}

/* For COM1: one long port write is a tenth of the cost of many short ones. */
static uint8_t port_buffer[8192];

#define FRAME_LEN_MAX (FRAME_HEAD_LEN + instar_GuestMessage_size)
_Static_assert(sizeof(port_buffer) >= FRAME_LEN_MAX, "every message fits");

/* Messages on their way. */
static struct {
    uint8_t *bytes;
    size_t room;
    size_t len;
    const struct message_way *offered; /* NULL: none, or no more */
    const struct message_way *way;     /* NULL: COM1 */
} outbox = {.bytes = port_buffer, .room = sizeof(port_buffer)};

void messages_offer(const struct message_way *way)
{
    outbox.offered = way;
}

/* Sends the buffer and gets one that has room. */
static void outbox_empty(void)
{
    if (outbox.way != NULL) {
        outbox.way->send(outbox.way->context, outbox.len);
        outbox.bytes = outbox.way->buffer(outbox.way->context, &outbox.room);
    } else {
        platform_port_write(PORT_MESSAGE_DATA, outbox.bytes, outbox.len);
    }
    outbox.len = 0;
}

/* Leaves COM1 for the way that was offered. False when there is none. */
static bool outbox_change(void)
{
    const struct message_way *way = outbox.offered;
    outbox.offered = NULL;
    if (way == NULL || !way->open(way->context)) {
        return false;
    }
    outbox.way = way;
    outbox.bytes = way->buffer(way->context, &outbox.room);
    memcpy(outbox.bytes, port_buffer, outbox.len);
    return true;
}

void messages_flush(void)
{
    if (outbox.len > 0) {
        outbox_empty();
    }
    if (outbox.way != NULL) {
        outbox.way->flush(outbox.way->context);
    }
}

void messages_post(const instar_GuestMessage *message)
{
    if (outbox.room - outbox.len < FRAME_LEN_MAX && !outbox_change()) {
        outbox_empty();
    }
    uint8_t *frame = outbox.bytes + outbox.len;
    pb_ostream_t stream = pb_ostream_from_buffer(frame + FRAME_HEAD_LEN, instar_GuestMessage_size);
    if (!pb_encode(&stream, instar_GuestMessage_fields, message)) {
        panic("a message cannot be encoded: %s", PB_GET_ERROR(&stream));
    }
    struct le32 head = le32_make((uint32_t)stream.bytes_written);
    memcpy(frame, &head, sizeof(head));
    outbox.len += FRAME_HEAD_LEN + stream.bytes_written;
}

void messages_send(const instar_GuestMessage *message)
{
    messages_post(message);
    messages_flush();
}

void messages_post_init(const char *program, uint32_t vcpu_count, uint32_t device_count)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_init_tag};
    text_copy(message.kind.init.program, sizeof(message.kind.init.program), program);
    message.kind.init.vcpus = vcpu_count;
    message.kind.init.devices = device_count;
    messages_post(&message);
}

void messages_send_capacity(const char *device, uint64_t len, uint32_t sector_len)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_capacity_tag};
    text_copy(message.kind.capacity.device, sizeof(message.kind.capacity.device), device);
    message.kind.capacity.sectors = divide_up(len, sector_len);
    message.kind.capacity.sector_size = sector_len;
    message.kind.capacity.bytes = len;
    messages_send(&message);
}

void messages_post_progress(const instar_ProgressMessage *progress)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_progress_tag};
    message.kind.progress = *progress;
    messages_post(&message);
}

void messages_send_progress(const instar_ProgressMessage *progress)
{
    messages_post_progress(progress);
    messages_flush();
}

void messages_send_complete(const instar_CompleteMessage *complete)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_complete_tag};
    message.kind.complete = *complete;
    messages_send(&message);
}

void messages_send_failure(const struct error *error)
{
    messages_send_failure_of(error, false);
}

void messages_send_failure_of(const struct error *error, bool opening)
{
    instar_CompleteMessage complete = {.has_error = true};
    complete.error.kind = error->kind;
    complete.error.opening = opening;
    complete.error.reason = error->reason;
    text_copy(complete.error.place, sizeof(complete.error.place), error->place);
    text_copy(complete.error.detail, sizeof(complete.error.detail), error->detail);
    messages_send_complete(&complete);
}
