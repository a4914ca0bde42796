/* SPDX-License-Identifier: Apache-2.0 */
#include "test_job_run_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pb_encode.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_job_support.h"

/* The child is this program executed anew: the job's message tells how far from here what it does is, and the note. */
typedef void (*child_behaviour)(const struct fake_child *child);

struct child_order {
    intptr_t distance;
    struct run_note note;
};

struct run_note run_note;

void child_run(const struct job *job, const struct child_ties *ties)
{
    static struct channel_writer writer;
    channel_writer_init(&writer, ties->event_fd);
    struct fake_child child = {&writer, &ties->images[0], ties->image_count > 1 ? &ties->images[1] : NULL, ties};
    struct child_order order;
    if (job->message.len != sizeof(order)) {
        _exit(2);
    }
    memcpy(&order, job->message.data, sizeof(order));
    run_note = order.note;
    ((child_behaviour)((intptr_t)&child_run + order.distance))(&child);
    channel_writer_flush(&writer);
    _exit(0);
}

void send_message(struct channel_writer *writer, const instar_GuestMessage *message)
{
    uint8_t bytes[instar_GuestMessage_size];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof(bytes));
    if (!pb_encode(&stream, instar_GuestMessage_fields, message) ||
        !channel_writer_append_guest_message(writer, (struct span){bytes, stream.bytes_written})) {
        _exit(3);
    }
}

void send_init(struct channel_writer *writer)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_init_tag,
                                   .kind.init = {.program = "copy", .vcpus = 1, .devices = 2}};
    send_message(writer, &message);
}

void send_progress(struct channel_writer *writer, uint64_t sectors)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_progress_tag,
                                   .kind.progress = {.sectors = sectors, .total_sectors = 1000000}};
    send_message(writer, &message);
}

void send_complete(struct channel_writer *writer, bool success)
{
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {.success = success,
                          .bytes_written = strlen(RUN_CONTENT),
                          .has_error = !success,
                          .error = {.kind = ERROR_MALFORMED, .place = "input", .detail = "what a mess"}}};
    send_message(writer, &message);
}

void send_end(struct channel_writer *writer, bool success, enum error_kind kind, const char *detail)
{
    instar_JobEvent *event = &writer->scratch;
    *event = (instar_JobEvent){.which_kind = instar_JobEvent_end_tag,
                               .kind.end = {.success = success, .error_kind = kind, .error_place = "a place"}};
    memcpy(event->kind.end.error_detail, detail, strlen(detail) + 1);
    channel_writer_append(writer, event);
}

void copy_content(const struct fake_child *child)
{
    char content[64];
    ssize_t len = read(child->input->fd, content, sizeof(content));
    if (len < 0 || pwrite(child->output->fd, content, (size_t)len, 0) != len) {
        _exit(4);
    }
}

struct job_result run_result;
struct error run_error;

struct job run_job_default(void)
{
    return (struct job){
        .inputs = {{"input", 512, BACKEND_REGULAR}},
        .input_count = 1,
        .output_kind = JOB_OUTPUT_NEW,
        .output = {"output", 512, BACKEND_REGULAR},
        .vcpu_count = 1,
        .want_statistics = true,
    };
}

bool run_job_with(const struct job *job, void (*behaviour)(const struct fake_child *child),
                  const struct job_observer *observer)
{
    job_result_release(&run_result);
    memset(&run_error, 0, sizeof(run_error));
    struct child_order order = {.distance = (intptr_t)behaviour - (intptr_t)&child_run, .note = run_note};
    struct job own_job = *job;
    own_job.message = (struct span){(const uint8_t *)&order, sizeof(order)};
    return job_run(&own_job, observer, &run_result, &run_error);
}

bool run_job(void (*behaviour)(const struct fake_child *child), const struct job_observer *observer, uint32_t timeout_s)
{
    struct job job = run_job_default();
    job.limits.time_s = timeout_s;
    return run_job_with(&job, behaviour, observer);
}

int run_enter(void **state)
{
    directory_enter(state);
    file_make("input", RUN_CONTENT);
    return 0;
}

int run_leave(void **state)
{
    job_result_release(&run_result);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    return directory_leave(state);
}

void assert_run_failed(bool success, enum error_kind kind, const char *detail)
{
    assert_false(success);
    assert_int_equal(run_error.kind, kind);
    assert_string_equal(run_error.detail, detail);
    assert_int_equal(directory_count(), 1);
    assert_file_content("input", RUN_CONTENT);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

void copy_well(const struct fake_child *child)
{
    if (child->input->len != strlen(RUN_CONTENT) || child->output->len != strlen(RUN_CONTENT) ||
        !child->output->zeroed || !child->output->is_regular || strcmp(child->input->image->path, "input") != 0 ||
        strcmp(child->output->image->path, "output") != 0) {
        _exit(2);
    }
    send_init(child->writer);
    send_progress(child->writer, 1);
    channel_writer_flush(child->writer);
    send_progress(child->writer, 2);
    channel_writer_append_debug_line(child->writer, "a debug line");
    copy_content(child);
    child->writer->scratch =
        (instar_JobEvent){.which_kind = instar_JobEvent_statistics_tag, .kind.statistics = {.exits = 42}};
    channel_writer_append(child->writer, &child->writer->scratch);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}
