/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parent takes from a child that was taken over: JobEvents from the pipe, the GuestMessages in them, and
 * everything that is printed of both.
 *
 * An input is a byte of choices, then the stream, cut into pieces by a byte before each: so many sixteens of bytes.
 */
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "fuzz.h"
#include "host/cli/escape.h"
#include "host/cli/image/print/check_print.h"
#include "host/cli/image/print/detail_reader.h"
#include "host/cli/image/print/info_print.h"
#include "host/cli/image/print/map_print.h"
#include "host/cli/image/values/value_print.h"
#include "host/cli/statistics_print.h"
#include "host/cli/status_lines.h"
#include "host/job/channel.h"
#include "host/job/parent/guest_session.h"

#define DEVICE_COUNT 3u

/* As the commands keep it. */
struct view {
    bool is_json;
    struct job_result result;
    struct guest_session session;
    struct console console;
    struct job_observer lines;
    struct status_lines status;
    struct map_print map;
    struct value_tree tree;
    struct value *all_details;
    struct detail_reader reader;
    struct info_image image;
    bool has_image;
    bool has_map_end;
};

static struct view view;

static void view_start(bool is_json)
{
    static char paths[DEVICE_COUNT][16] = {"first", "second\x1b", "third"};
    memset(&view, 0, sizeof(view));
    view.is_json = is_json;
    for (unsigned int i = 0; i < DEVICE_COUNT; i++) {
        view.result.devices[i] = (struct job_device){.path = paths[i], .len = 1u << 20};
    }
    view.result.device_count = DEVICE_COUNT;
    view.session.devices = (struct guest_devices){.input_count = 2, .has_output = true, .result = &view.result};
    console_init(&view.console, fileno(fuzz_nowhere()));
    static const struct job_limits no_limits;
    view.lines = status_lines_observer(&view.status, &view.console, &no_limits);
    map_print_init(&view.map, &view.console, &view.result, &no_limits, is_json, 0);
    value_tree_init(&view.tree);
    view.all_details = value_add_list(&view.tree, &view.tree.root, "details");
}

static bool info_take(const instar_InfoMessage *message, struct error *error)
{
    RETURN_IF_FAILED(info_message_check(message, error));
    view.image = (struct info_image){.message = *message, .path = view.result.devices[message->device].path};
    view.image.file_path = view.image.path;
    view.image.format = view.image.message.format;
    view.image.details = value_add_object(&view.tree, view.all_details, "");
    detail_reader_init(&view.reader, &view.tree, view.image.details, &view.result);
    view.has_image = true;
    return value_tree_check(&view.tree, error);
}

static bool message_show(const instar_GuestMessage *message, struct error *error)
{
    char text[ESCAPED_LEN(sizeof(message->kind.finding.text) + sizeof(message->kind.warning.text))];
    switch (message->which_kind) {
    case instar_GuestMessage_info_tag:
        return info_take(&message->kind.info, error);
    case instar_GuestMessage_detail_tag:
        return !view.has_image || detail_reader_take(&view.reader, &message->kind.detail, error);
    case instar_GuestMessage_map_tag:
        return map_print_take(&view.map, &message->kind.map, error);
    case instar_GuestMessage_finding_tag:
        escape_text(text, sizeof(text), message->kind.finding.text);
        return true;
    case instar_GuestMessage_warning_tag:
        escape_text(text, sizeof(text), message->kind.warning.text);
        return true;
    case instar_GuestMessage_check_tag:
        RETURN_IF_FAILED(check_message_check(&message->kind.check, error));
        check_print_human(fuzz_nowhere(), &message->kind.check);
        FUZZ_ASSERT(check_exit_code(&message->kind.check) >= 0);
        return true;
    case instar_GuestMessage_init_tag:
    case instar_GuestMessage_capacity_tag:
    case instar_GuestMessage_latency_tag:
    case instar_GuestMessage_progress_tag:
        view.lines.guest_message(view.lines.context, message);
        return true;
    default:
        return true;
    }
}

static bool event_take(const instar_JobEvent *event, struct error *error)
{
    switch (event->which_kind) {
    case instar_JobEvent_guest_message_tag: {
        struct span encoded = {event->kind.guest_message.bytes, event->kind.guest_message.size};
        return guest_session_accept(&view.session, encoded, error) && message_show(&view.session.message, error);
    }
    case instar_JobEvent_debug_line_tag:
        view.lines.debug_line(view.lines.context, event->kind.debug_line.text);
        return true;
    case instar_JobEvent_statistics_tag:
        for (int format = STATISTICS_HUMAN; format <= STATISTICS_PROMETHEUS; format++) {
            statistics_print(fuzz_nowhere(), (enum statistics_format)format, &event->kind.statistics);
        }
        return true;
    case instar_JobEvent_end_tag:
        return error_set(error, ERROR_HOST, event->kind.end.error_place, "%s", event->kind.end.error_detail);
    default:
        return true;
    }
}

/* What the commands do after the last message. */
static void view_end(void)
{
    struct error error = {0};
    struct error refusal = {0};
    if (!guest_session_check_result(&view.session, &refusal, &error)) {
        FUZZ_ASSERT(error_is_set(&error));
    }
    unsigned int device = guest_session_error_device(&view.session);
    FUZZ_ASSERT(device == GUEST_DEVICE_NONE || device < DEVICE_COUNT);
    error = (struct error){0};
    if (view.has_image && detail_reader_check(&view.reader, &error)) {
        struct value *documents = value_add_list(&view.tree, &view.tree.root, "documents");
        info_add(&view.tree, documents, "", &view.image);
        if (value_tree_check(&view.tree, &error)) {
            value_print_json(fuzz_nowhere(), documents);
        }
        info_print_human(fuzz_nowhere(), &view.image);
    }
    error = (struct error){0};
    (void)map_print_end(&view.map, &error);
    console_flush(&view.console);
    value_tree_release(&view.tree);
}

/* As channel_reader_fill, from memory. */
static void fill(struct channel_reader *reader, struct fuzz_input *input)
{
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
    size_t room = sizeof(reader->buffer) - reader->end;
    struct span piece = fuzz_take_span(input, (size_t)min_u64(room, (1 + fuzz_take(input, 1)) * 16));
    FUZZ_ASSERT(room > 0);
    if (piece.len > 0) {
        memcpy(reader->buffer + reader->end, piece.data, piece.len);
        reader->end += piece.len;
    }
}

static void stream_take(struct channel_reader *reader, struct fuzz_input *input)
{
    struct error error = {0};
    while (input->len > 0) {
        fill(reader, input);
        enum channel_status status = CHANNEL_EVENT;
        while ((status = channel_reader_next(reader)) == CHANNEL_EVENT) {
            if (!event_take(&reader->event, &error)) {
                FUZZ_ASSERT(error_is_set(&error));
                return;
            }
        }
        if (status == CHANNEL_MALFORMED) {
            return;
        }
    }
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    struct channel_reader *reader = calloc(1, sizeof(*reader));
    FUZZ_ASSERT(reader != NULL);
    channel_reader_init(reader, -1);
    view_start((fuzz_take(&input, 1) & 1) != 0);
    stream_take(reader, &input);
    view_end();
    free(reader);
}
