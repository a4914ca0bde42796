/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/transports/stream_transport.h"

bool stream_open(struct stream_transport *stream, const struct transport_operations *operations,
                 const struct stream_carrier *carrier, const struct transport_setup *setup, struct error *error)
{
    struct stream_head *head = arena_allocate(setup->arena, sizeof(*head), _Alignof(struct stream_head));
    stream->request = arena_allocate(setup->arena, sizeof(*stream->request), _Alignof(struct stream_request));
    stream->reply = arena_allocate(setup->arena, sizeof(*stream->reply), _Alignof(struct stream_reply));
    if (head == NULL || stream->request == NULL || stream->reply == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    stream->carrier = carrier;
    RETURN_IF_FAILED(carrier->input_receive(stream, head, sizeof(*head), error));
    stream->transport = (struct transport){.operations = operations, .input_len = head->len};
    return true;
}

bool stream_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct stream_transport *stream = (struct stream_transport *)transport;
    (void)off; /* the next one */
    return stream->carrier->input_receive(stream, data, len, error);
}

static bool request_send(struct stream_transport *stream, enum stream_request_kind kind, uint64_t len,
                         struct error *error)
{
    *stream->request = (struct stream_request){.kind = kind, .len = len};
    return stream->carrier->output_send(stream, stream->request, sizeof(*stream->request), error);
}

static bool reply_check(struct stream_transport *stream, struct error *error)
{
    RETURN_IF_FAILED(stream->carrier->output_receive(stream, stream->reply, sizeof(*stream->reply), error));
    return stream->reply->status == STREAM_OK ||
           error_set(error, ERROR_IO, "output", "the device reports an I/O error");
}

bool stream_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct stream_transport *stream = (struct stream_transport *)transport;
    (void)off;
    return request_send(stream, STREAM_DATA, len, error) && stream->carrier->output_send(stream, data, len, error);
}

bool stream_flush(struct transport *transport, struct error *error)
{
    struct stream_transport *stream = (struct stream_transport *)transport;
    return request_send(stream, STREAM_FLUSH, 0, error) && reply_check(stream, error);
}

bool stream_finish(struct transport *transport, struct error *error)
{
    struct stream_transport *stream = (struct stream_transport *)transport;
    return request_send(stream, STREAM_FINISH, 0, error) && reply_check(stream, error) &&
           (stream->carrier->close == NULL || stream->carrier->close(stream, error));
}
