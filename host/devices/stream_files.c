/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/stream_files.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"

bool stream_source_next(struct stream_source *source, void *data, size_t len, size_t *ret_len, struct error *error)
{
    struct stream_head head = {source->file->backend->len};
    size_t done_len = 0;
    if (source->sent_len < sizeof(head)) {
        done_len = (size_t)min_u64(len, sizeof(head) - source->sent_len);
        memcpy(data, (const uint8_t *)&head + source->sent_len, done_len);
    }
    uint64_t off = max_u64(source->sent_len + done_len, sizeof(head)) - sizeof(head);
    uint64_t part_len = min_u64(len - done_len, head.len - off);
    if (part_len > 0 && !source->has_failed) {
        int result;
        RETURN_IF_FAILED(transport_file_read(source->file, off, (uint8_t *)data + done_len, part_len, &result, error));
        source->has_failed = result != 0;
        done_len += result == 0 ? part_len : 0;
    }
    source->sent_len += done_len;
    *ret_len = done_len;
    return true;
}

static void reply_make(struct stream_sink *sink)
{
    sink->reply = (struct stream_reply){.status = sink->has_failed ? STREAM_FAILED : STREAM_OK};
    sink->reply_left = sizeof(sink->reply);
}

static bool request_begin(struct stream_sink *sink, struct error *error)
{
    struct stream_request request;
    memcpy(&request, sink->request, sizeof(request));
    sink->request_len = 0;
    bool has_data = request.kind == STREAM_DATA;
    if (has_data != (request.len > 0) || request.reserved != 0) {
        return error_set(error, ERROR_GUEST, "output stream",
                         "the guest makes the request %" PRIu32 " with %" PRIu64 " bytes", request.kind, request.len);
    }
    if (sink->is_finished) {
        return error_set(error, ERROR_GUEST, "output stream", "the guest makes a request behind the last one");
    }
    switch (request.kind) {
    case STREAM_DATA:
        sink->data_left = request.len;
        return true;
    case STREAM_FLUSH:
        sink->has_failed = transport_file_flush(sink->file) != 0 || sink->has_failed;
        reply_make(sink);
        return true;
    case STREAM_FINISH:
        sink->is_finished = true;
        reply_make(sink);
        return true;
    default:
        return error_set(error, ERROR_GUEST, "output stream", "the guest makes the unknown request %" PRIu32,
                         request.kind);
    }
}

/* What follows a failure is taken, but no longer tried. */
static bool data_take(struct stream_sink *sink, const void *data, uint64_t len, struct error *error)
{
    if (!sink->has_failed) {
        int result;
        RETURN_IF_FAILED(transport_file_write(sink->file, sink->off, data, len, &result, error));
        sink->has_failed = result != 0;
    }
    sink->off += len;
    sink->data_left -= len;
    return true;
}

bool stream_sink_take(struct stream_sink *sink, const void *data, size_t len, size_t *ret_len, struct error *error)
{
    const uint8_t *bytes = data;
    size_t done_len = 0;
    while (done_len < len && sink->reply_left == 0) { /* ends: each step takes a byte at least */
        size_t part_len;
        if (sink->data_left > 0) {
            part_len = (size_t)min_u64(len - done_len, sink->data_left);
            RETURN_IF_FAILED(data_take(sink, bytes + done_len, part_len, error));
        } else {
            part_len = (size_t)min_u64(len - done_len, sizeof(sink->request) - sink->request_len);
            memcpy(sink->request + sink->request_len, bytes + done_len, part_len);
            sink->request_len += part_len;
            RETURN_IF_FAILED(sink->request_len < sizeof(sink->request) || request_begin(sink, error));
        }
        done_len += part_len;
    }
    *ret_len = done_len;
    return true;
}

const void *stream_sink_reply(const struct stream_sink *sink, size_t *ret_len)
{
    *ret_len = sink->reply_left;
    return (const uint8_t *)&sink->reply + sizeof(sink->reply) - sink->reply_left;
}

void stream_sink_replied(struct stream_sink *sink, size_t len)
{
    sink->reply_left -= len;
}
