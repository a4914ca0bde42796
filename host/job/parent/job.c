/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/job/channel.h"
#include "host/job/child/child.h"
#include "host/job/child/child_process.h"
#include "host/job/files/open_task.h"
#include "host/job/parent/guest_session.h"
#include "host/job/parent/job_descriptors.h"
#include "host/job/parent/job_images.h"
#include "host/job/parent/listener.h"
#include "host/job/parent/opener.h"
#include "host/job/parent/openings.h"
#include "host/job/parent/parent_walls.h"
#include "host/job/parent/processor_time.h"
#include "host/job/sandbox.h"
#include "host/job/signals.h"
#include "host/job/transports.h"

/* One run of a job, in the parent. */
struct run {
    const struct job *job;
    const struct job_observer *observer;
    struct job_result *result;
    struct error *error;
    struct signals signals;
    const struct engine_operations *engine;
    struct error without_kvm; /* why it is no virtual machine, where the job would have had one */
    struct child_process child;
    uint64_t deadline_ms; /* on now_ms's clock; UINT64_MAX: none */
    struct processor_time processor_time;
    struct channel_reader *reader;
    struct guest_session session;
    struct job_images images;
    atomic_bool is_given_up; /* nobody waits for the task that opens files any more */
    bool has_outputs;        /* they are open, if the job has any */
    struct openings openings;
    struct opener opener;
    struct listener listener;
    bool has_end;     /* the child's last event has come */
    bool has_hung_up; /* no event will come any more: the child has ended, or has until hang_up_ms to do so */
    uint64_t hang_up_ms;
};

/* Of the job that runs, for job_is_interrupted. UINT64_MAX: none. */
static uint64_t current_deadline_ms = UINT64_MAX;

/* How long a child without a last word may take to end. Long beside the end of a process, short to who waits. */
#define HANG_UP_MS 2000u

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * An error counts even if the machine ended well: then an operation on an image has failed, and says better than
 * the guest why, or shows that its success is none.
 */
static bool end_take(struct run *run, const instar_JobEnd *end)
{
    run->has_end = true;
    if (end->success && end->error_kind == ERROR_NONE) {
        return true;
    }
    bool is_known = end->error_kind > ERROR_NONE && end->error_kind <= ERROR_KIND_LAST;
    enum error_kind kind = is_known ? (enum error_kind)end->error_kind : ERROR_HOST;
    return error_set(run->error, kind, end->error_place, "%s",
                     end->error_detail[0] != '\0' ? end->error_detail : "the machine failed and did not say why");
}

static int device_fd(const struct run *run, unsigned int device)
{
    unsigned int input_count = run->images.input_count;
    if (device < input_count) {
        return run->images.inputs[device].fd;
    }
    const struct output_file *output = job_images_output(&run->images, device - input_count);
    return output != NULL ? output->fd : openings_fd(&run->openings, device);
}

/* The image that the user named, on the way to this one. Ends: a referrer comes before what it names. */
static unsigned int root_device(const struct job_result *result, unsigned int device)
{
    while (result->devices[device].referrer != device) {
        device = result->devices[device].referrer;
    }
    return device;
}

/* Notes that an error is about the opening of an image: that of `device`, or one that it leads to. */
static void opening_failed(struct run *run, unsigned int device)
{
    run->result->is_opening = true;
    run->result->opening_device = device < run->result->device_count ? root_device(run->result, device) : 0;
}

static bool format_take(struct run *run, uint32_t device, const char *format)
{
    if (job_image_lock_format(run->job, device_fd(run, device), run->result->devices[device].path, format,
                              run->error)) {
        return true;
    }
    opening_failed(run, device);
    return false;
}

/* The guest goes on when the new files have their names. */
static bool extents_name(struct run *run)
{
    struct opening_answer answer = {.outcome = OPENING_KNOWN};
    unsigned int number;
    RETURN_IF_FAILED(job_images_name_extents(&run->images, run->job, &number, run->error));
    answer.device = run->job->input_count + number;
    return openings_answer(&run->openings, &answer, -1, run->child.grant_fd, run->error);
}

static bool guest_message_take(struct run *run, const instar_JobEvent_guest_message_t *bytes)
{
    struct span encoded = {bytes->bytes, bytes->size};
    RETURN_IF_FAILED(guest_session_accept(&run->session, encoded, run->error));
    if (run->session.message.which_kind == instar_GuestMessage_open_tag) {
        if (run->session.message.kind.open.use == instar_OpenUse_OPEN_NEW_PARTS) {
            return extents_name(run);
        }
        return openings_ask(&run->openings, &run->session.message.kind.open, run->error) &&
               opener_ask(&run->opener, &run->openings.question, run->error);
    }
    const instar_GuestMessage *message = &run->session.message;
    if (message->which_kind == instar_GuestMessage_format_tag) {
        RETURN_IF_FAILED(format_take(run, message->kind.format.device, message->kind.format.format));
    } else if (message->which_kind == instar_GuestMessage_info_tag) {
        RETURN_IF_FAILED(format_take(run, message->kind.info.device, message->kind.info.format));
    }
    if (run->observer->guest_message != NULL && !run->session.has_complete) {
        run->observer->guest_message(run->observer->context, message);
    }
    if (run->observer->failure != NULL && error_is_set(run->observer->failure)) {
        *run->error = *run->observer->failure;
        return false;
    }
    return true;
}

static bool event_take(struct run *run, const instar_JobEvent *event)
{
    switch (event->which_kind) {
    case instar_JobEvent_guest_message_tag:
        return guest_message_take(run, &event->kind.guest_message);
    case instar_JobEvent_debug_line_tag:
        if (run->observer->debug_line != NULL) {
            run->observer->debug_line(run->observer->context, event->kind.debug_line.text);
        }
        return true;
    case instar_JobEvent_statistics_tag:
        run->result->statistics = event->kind.statistics;
        run->result->has_statistics = true;
        return true;
    case instar_JobEvent_guest_process_tag:
        run->child.remains.guest_pid = event->kind.guest_process.pid;
        run->child.remains.may_have_untold = false;
        processor_time_add(&run->processor_time, event->kind.guest_process.pid);
        return true;
    default:
        return end_take(run, &event->kind.end);
    }
}

/* Takes the events that are here, up to a question: what comes behind it has to wait for the answer. */
static bool events_drain(struct run *run)
{
    while (!run->has_end && !run->opener.is_asked) { /* ends with the buffer's content */
        switch (channel_reader_next(run->reader)) {
        case CHANNEL_EVENT:
            RETURN_IF_FAILED(event_take(run, &run->reader->event));
            break;
        case CHANNEL_INCOMPLETE:
            return true;
        case CHANNEL_MALFORMED:
            return error_set(run->error, ERROR_HOST, NULL, "the machine's process sent a malformed event");
        }
    }
    return true;
}

/* Takes what the child sent, as far as it is here. */
static bool events_take(struct run *run)
{
    int count = channel_reader_fill(run->reader);
    if (count < 0) {
        return error_set(run->error, ERROR_HOST, NULL, "cannot hear the machine's process: %s", strerror(-count));
    }
    if (count == 0) {
        run->has_hung_up = true;
        run->hang_up_ms = now_ms() + HANG_UP_MS;
        return true;
    }
    return events_drain(run);
}

/* A file that was asked for has been opened, or not. */
static bool answer_take(struct run *run)
{
    struct opening_answer answer;
    int fd;
    return opener_hear(&run->opener, &answer, &fd, run->error) &&
           openings_answer(&run->openings, &answer, fd, run->child.grant_fd, run->error) && events_drain(run);
}

static int poll_timeout_ms(const struct run *run)
{
    uint64_t now = now_ms();
    uint64_t wait_ms = run->deadline_ms == UINT64_MAX ? UINT64_MAX : run->deadline_ms - min_u64(now, run->deadline_ms);
    wait_ms = min_u64(wait_ms, processor_time_wait_ms(&run->processor_time, now));
    if (run->has_hung_up) {
        wait_ms = min_u64(wait_ms, HANG_UP_MS / 20);
    }
    if (run->observer->idle_interval_ms > 0) {
        wait_ms = min_u64(wait_ms, run->observer->idle_interval_ms);
    }
    return wait_ms == UINT64_MAX ? -1 : (int)min_u64(wait_ms, INT32_MAX);
}

static bool interruption_take(struct run *run)
{
    int number = signals_take(&run->signals);
    if (number == SIGNALS_PROGRESS && run->observer->progress_asked != NULL) {
        run->observer->progress_asked(run->observer->context);
    }
    if (number == 0 || number == SIGNALS_PROGRESS) {
        return true;
    }
    run->result->signal_number = number;
    return error_set(run->error, ERROR_INTERRUPTED, NULL, "interrupted by signal %d (%s)", run->result->signal_number,
                     strsignal(run->result->signal_number));
}

static bool clocks_check(struct run *run)
{
    uint64_t now = now_ms();
    if (now >= run->deadline_ms) {
        return error_set(run->error, ERROR_LIMIT, NULL, "the job exceeded its time limit of %" PRIu32 " s",
                         run->job->limits.time_s);
    }
    return processor_time_check(&run->processor_time, now, run->error);
}

static void text_take(struct run *run)
{
    child_text_take(&run->child.text, run->observer->child_text, run->observer->context);
}

/* A child that sends nothing any more: how it has ended, or that it does not. */
static bool hang_up_check(struct run *run, bool is_gone)
{
    if (is_gone) {
        return child_process_describe_end(&run->child, run->error);
    }
    return now_ms() < run->hang_up_ms ||
           error_set(run->error, ERROR_HOST, NULL, "the machine's process closed its pipe before the job was done");
}

/* One round: waits for something to happen, and takes it. */
static bool round_do(struct run *run)
{
    struct pollfd ready[] = {
        {.fd = run->has_hung_up || run->opener.is_asked ? -1 : run->child.event_fd, .events = POLLIN},
        {.fd = run->signals.fd, .events = POLLIN},
        {.fd = run->child.remains.pidfd, .events = POLLIN},
        {.fd = run->child.text.fd, .events = POLLIN},
        {.fd = run->opener.is_asked ? run->opener.socket_fd : -1, .events = POLLIN},
    };
    if (poll(ready, ARRAY_COUNT(ready), poll_timeout_ms(run)) < 0) {
        /* EINTR: a stop and continuation from the terminal */
        return errno == EINTR ||
               error_set(run->error, ERROR_HOST, NULL, "cannot hear the machine's process: %s", strerror(errno));
    }
    if (ready[1].revents != 0) {
        RETURN_IF_FAILED(interruption_take(run));
    }
    if (ready[3].revents != 0) {
        text_take(run);
    }
    if (ready[4].revents != 0) {
        RETURN_IF_FAILED(answer_take(run));
    } else if (ready[0].revents != 0) {
        RETURN_IF_FAILED(events_take(run));
    } else if (run->has_hung_up || ready[2].revents != 0) {
        /* What it sent before its end has been taken: its pipe is silent. */
        RETURN_IF_FAILED(hang_up_check(run, ready[2].revents != 0));
    }
    /*
     * Looked at in every round, the last one, too: a guest that never stops talking never lets poll time out, and what
     * could not be printed in time was dropped.
     */
    return clocks_check(run);
}

/* Relays what the child reports until its last event, its end, a signal or the deadline. */
static bool relay(struct run *run)
{
    while (!run->has_end) { /* ends with the child's last word, or its end */
        RETURN_IF_FAILED(round_do(run));
        if (run->observer->idle != NULL) {
            run->observer->idle(run->observer->context);
        }
    }
    return true;
}

/* Whether the guest reports success. */
static bool result_check(struct run *run)
{
    if (guest_session_check_result(&run->session, &run->openings.refusal, run->error)) {
        return true;
    }
    const instar_CompleteMessage *complete = &run->session.complete;
    if (complete->has_error && complete->error.opening) {
        /* A refusal is about a file that is no device. */
        bool is_refusal = error_is_set(&run->openings.refusal) && complete->error.kind == run->openings.refusal.kind;
        opening_failed(run, is_refusal ? run->openings.refusal_device : guest_session_error_device(&run->session));
    }
    return false;
}

static bool child_hear(struct run *run)
{
    run->reader = malloc(sizeof(*run->reader));
    if (run->reader == NULL) {
        return error_set(run->error, ERROR_HOST, NULL, "out of memory");
    }
    channel_reader_init(run->reader, run->child.event_fd);
    bool success = relay(run) && result_check(run);
    free(run->reader);
    run->result->complete = run->session.complete;
    return success;
}

/* Runs the child to its last word, on open files. */
static bool child_work(struct run *run, const struct child_image *images)
{
    const struct job *job = run->job;
    struct child_start start = {
        .engine = run->engine,
        .images = images,
        .image_count = run->result->device_count,
        .listener_fd = run->listener.fd,
        .signals = &run->signals,
    };
    bool is_started = child_process_start(&run->child, job, &start, run->error);
    listener_close(&run->listener);
    RETURN_IF_FAILED(is_started);
    processor_time_init(&run->processor_time, job->limits.cpu_s);
    processor_time_add_own(&run->processor_time);
    processor_time_add(&run->processor_time, run->child.remains.pid);
    bool success = opener_start(&run->opener, &run->openings, run->error) &&
                   (!job->confines_process ||
                    parent_walls_raise(&run->openings, run->child.remains.pid, run->opener.pid, run->error)) &&
                   child_hear(run);
    opener_end(&run->opener);
    if (success) {
        run->result->remains = child_process_leave(&run->child);
    } else {
        child_process_kill(&run->child);
    }
    child_text_end(&run->child.text, run->observer->child_text, run->observer->context);
    return success;
}

static bool devices_list(struct run *run, const struct child_image *images, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        char *path = strdup(images[i].image->path);
        if (path == NULL) {
            return error_set(run->error, ERROR_HOST, NULL, "out of memory");
        }
        run->result->devices[run->result->device_count++] = (struct job_device){
            .path = path,
            .len = images[i].len,
            .allocated_len = images[i].allocated_len,
            .is_regular = images[i].is_regular,
            .referrer = i,
        };
    }
    return true;
}

static bool devices_work(struct run *run)
{
    struct child_image *images = malloc(CHILD_IMAGE_MAX * sizeof(*images)); /* large, and filled as far as it is used */
    if (images == NULL) {
        return error_set(run->error, ERROR_HOST, NULL, "out of memory");
    }
    unsigned int count = job_images_list(&run->images, run->job, images);
    bool success = devices_list(run, images, count) && child_work(run, images);
    free(images);
    return success;
}

/* An empty file has nothing that could be lost. */
static void in_place_tell(const struct run *run, const struct output_file *output, const char *path)
{
    if (output->in_place_reason != NULL && output->old_len > 0 && run->observer->in_place != NULL) {
        run->observer->in_place(run->observer->context, path, output->in_place_reason);
    }
}

static bool inputs_open(struct run *run)
{
    if (job_images_open_inputs(&run->images, run->job, run->error)) {
        return true;
    }
    run->result->is_opening = true;
    run->result->opening_device = run->images.input_count;
    return false;
}

static bool engine_choose(struct run *run)
{
    const struct engine_operations *engine;
    RETURN_IF_FAILED(sandbox_choose(run->job->sandbox, &engine, &run->without_kvm, run->error));
    const struct transport *transport = transport_of(run->job);
    if (engine == &process_engine && !transport->runs_in_process) {
        const struct error *notice = &run->without_kvm;
        return error_set(run->error, ERROR_UNSUPPORTED, NULL, "the transport \"%s\" needs a virtual machine%s%s",
                         transport->name, error_is_set(notice) ? ": /dev/kvm: " : "", notice->detail);
    }
    run->engine = engine;
    return true;
}

static bool outputs_open(struct run *run)
{
    if (!job_images_open_output(&run->images, run->job, run->error)) {
        run->result->is_opening = true;
        run->result->opening_device = run->job->input_count;
        return false;
    }
    run->has_outputs = true;
    const char *socket =
        transport_listens(transport_of(run->job)) ? run->job->sockets[TRANSPORT_SOCKET_LISTENER] : NULL;
    return openings_begin(&run->openings, run->job, &run->images, run->result, run->error) &&
           listener_open(&run->listener, socket, run->error);
}

/* Does what may wait for ever in a task, until that ends, a signal comes, or the deadline. */
static bool task_do(struct run *run, bool (*work)(void *context))
{
    struct open_task task = {.work = work, .context = run};
    struct pollfd ready[] = {{.events = POLLIN}, {.fd = run->signals.fd, .events = POLLIN}};
    RETURN_IF_FAILED(open_task_start(&task, run->error));
    ready[0].fd = task.pidfd;
    bool goes_on = true;
    while (goes_on && ready[0].revents == 0) { /* ends with the task, a signal, or the deadline */
        if (poll(ready, ARRAY_COUNT(ready), poll_timeout_ms(run)) < 0) {
            ready[0].revents = ready[1].revents = 0; /* EINTR: a stop and continuation from the terminal */
        }
        goes_on = (ready[1].revents == 0 || interruption_take(run)) && clocks_check(run);
    }
    if (goes_on) {
        return open_task_end(&task);
    }
    run->is_given_up = true;
    open_task_abandon(&task);
    return false;
}

/* What a task does, as any of it may wait for ever. One task for all of it: each is a process. */
static bool files_open(void *context)
{
    struct run *run = context;
    return inputs_open(run) && engine_choose(run) && !run->is_given_up && outputs_open(run);
}

static void without_kvm_tell(const struct run *run)
{
    if (run->engine != NULL && error_is_set(&run->without_kvm) && run->observer->without_kvm != NULL) {
        run->observer->without_kvm(run->observer->context, &run->without_kvm);
    }
}

static bool run_on_files(struct run *run)
{
    bool is_open = task_do(run, files_open);
    without_kvm_tell(run);
    if (!is_open) {
        if (run->has_outputs) {
            job_images_discard(&run->images);
        }
        if (run->listener.path != NULL) { /* the signal came when all was open */
            listener_remove(&run->listener);
        }
        return false;
    }
    if (run->images.has_output) {
        in_place_tell(run, &run->images.output, run->job->output.path);
    }
    for (unsigned int i = 0; i < run->images.further_count; i++) {
        in_place_tell(run, &run->images.further_outputs[i], run->job->further_outputs.list[i].image.path);
    }
    bool success = devices_work(run);
    listener_remove(&run->listener);
    if (!success) {
        job_images_discard(&run->images);
        return false;
    }
    return job_images_commit(&run->images, run->job, run->error);
}

static bool devices_check(const struct job *job, struct error *error)
{
    bool has_output = job->output_kind != JOB_OUTPUT_NONE;
    uint64_t count = (uint64_t)job->input_count + has_output + job->further_outputs.count + job->late_device_count;
    return (job->further_outputs.count <= (has_output ? JOB_FURTHER_OUTPUT_MAX : 0) && count <= JOB_DEVICE_MAX) ||
           error_set(error, ERROR_LIMIT, NULL, "the job has more files than a machine has devices");
}

/* Not the devices and the statistics, of which none are valid then: pages that are touched first cost time. */
static void result_clear(struct job_result *result)
{
    result->device_count = 0;
    result->is_opening = false;
    result->opening_device = 0;
    result->complete = (instar_CompleteMessage)instar_CompleteMessage_init_zero;
    result->has_statistics = false;
    result->signal_number = 0;
    result->remains = (struct child_remains){0};
}

bool job_run(const struct job *job, const struct job_observer *observer, struct job_result *ret_result,
             struct error *error)
{
    static const struct job_observer nobody;
    result_clear(ret_result);
    struct run run = {
        .job = job,
        .observer = observer != NULL ? observer : &nobody,
        .result = ret_result,
        .error = error,
        .listener.fd = -1,
        .session.devices =
            {
                .input_count = job->input_count,
                .has_output = job->output_kind != JOB_OUTPUT_NONE,
                .result = ret_result,
            },
    };
    /* What is done here counts, too: opening what is far away, printing what nobody reads. */
    run.deadline_ms = job->limits.time_s > 0 ? now_ms() + job->limits.time_s * 1000ull : UINT64_MAX;
    current_deadline_ms = run.deadline_ms;
    bool success =
        devices_check(job, error) && job_descriptors_reserve(job, error) && signals_hold(&run.signals, error);
    if (success) {
        success = run_on_files(&run);
        if (signals_is_pending()) {
            child_remains_wait(&ret_result->remains); /* it ends this process at once */
        }
        signals_release(&run.signals);
    }
    current_deadline_ms = UINT64_MAX;
    job_images_close_inputs(&run.images);
    openings_release(&run.openings);
    return success;
}

void job_result_release(struct job_result *result)
{
    for (unsigned int i = 0; i < result->device_count; i++) {
        free(result->devices[i].path);
    }
    result->device_count = 0;
    child_remains_wait(&result->remains);
}

bool job_is_interrupted(void)
{
    return signals_is_pending() || now_ms() >= current_deadline_ms;
}
