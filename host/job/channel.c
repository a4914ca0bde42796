/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/channel.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/text.h"

void channel_writer_init(struct channel_writer *writer, int fd)
{
    writer->fd = fd;
    writer->len = 0;
}

/* Encodes the event behind what waits already, if there is room. */
static bool event_encode(struct channel_writer *writer, const instar_JobEvent *event)
{
    size_t room = sizeof(writer->buffer) - writer->len;
    if (room < FRAME_HEAD_LEN) {
        return false;
    }
    uint8_t *frame = writer->buffer + writer->len;
    pb_ostream_t stream = pb_ostream_from_buffer(frame + FRAME_HEAD_LEN, room - FRAME_HEAD_LEN);
    if (!pb_encode(&stream, instar_JobEvent_fields, event)) {
        return false;
    }
    struct le32 head = le32_make((uint32_t)stream.bytes_written);
    memcpy(frame, &head, sizeof(head));
    writer->len += FRAME_HEAD_LEN + stream.bytes_written;
    return true;
}

bool channel_writer_append(struct channel_writer *writer, const instar_JobEvent *event)
{
    if (event_encode(writer, event)) {
        return true;
    }
    return channel_writer_flush(writer) && event_encode(writer, event);
}

bool channel_writer_append_guest_message(struct channel_writer *writer, struct span encoded)
{
    instar_JobEvent_guest_message_t *bytes = &writer->scratch.kind.guest_message;
    if (encoded.len > sizeof(bytes->bytes) || !span_copy(encoded, 0, bytes->bytes, encoded.len)) {
        return false;
    }
    bytes->size = (pb_size_t)encoded.len;
    writer->scratch.which_kind = instar_JobEvent_guest_message_tag;
    return channel_writer_append(writer, &writer->scratch);
}

bool channel_writer_append_debug_line(struct channel_writer *writer, const char *text)
{
    instar_DebugLine *line = &writer->scratch.kind.debug_line;
    text_copy(line->text, sizeof(line->text), text);
    writer->scratch.which_kind = instar_JobEvent_debug_line_tag;
    return channel_writer_append(writer, &writer->scratch);
}

bool channel_writer_flush(struct channel_writer *writer)
{
    size_t written = 0;
    while (written < writer->len) {
        ssize_t count = write(writer->fd, writer->buffer + written, writer->len - written);
        if (count > 0) {
            written += (size_t)count;
        } else if (errno != EINTR) {
            writer->len = 0;
            return false;
        }
    }
    writer->len = 0;
    return true;
}

void channel_reader_init(struct channel_reader *reader, int fd)
{
    reader->fd = fd;
    reader->start = 0;
    reader->end = 0;
}

int channel_reader_fill(struct channel_reader *reader)
{
    /* There is always room: what is left is less than one frame, and the largest one fits. */
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    for (;;) { /* until a signal does not interrupt */
        ssize_t count = read(reader->fd, reader->buffer + reader->end, sizeof(reader->buffer) - reader->end);
        if (count >= 0) {
            reader->end += (size_t)count;
            return (int)count;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

enum channel_status channel_reader_next(struct channel_reader *reader)
{
    struct span rest = {reader->buffer + reader->start, reader->end - reader->start};
    struct le32 head;
    if (!span_copy(rest, 0, &head, sizeof(head))) {
        return CHANNEL_INCOMPLETE;
    }
    uint32_t body_len = le32_get(head);
    if (body_len > instar_JobEvent_size) {
        return CHANNEL_MALFORMED;
    }
    struct span body;
    if (!span_slice(rest, FRAME_HEAD_LEN, body_len, &body)) {
        return CHANNEL_INCOMPLETE;
    }
    pb_istream_t stream = pb_istream_from_buffer(body.data, body.len);
    if (!pb_decode(&stream, instar_JobEvent_fields, &reader->event) || reader->event.which_kind == 0) {
        return CHANNEL_MALFORMED;
    }
    reader->start += FRAME_HEAD_LEN + body_len;
    return CHANNEL_EVENT;
}
