/* SPDX-License-Identifier: Apache-2.0 */
/* job_run, with children that do all that a child can do: child_run of host/job/child.c is replaced here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pb_encode.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/job/channel.h"
#include "host/job/child.h"
#include "host/job/job.h"
#include "test_job_support.h"

#define CONTENT "what is copied"

/* What the child of the next job does with its files and its pipe. */
static void (*child_behaviour)(struct channel_writer *writer, const struct child_image *input,
                               const struct child_image *output);

void child_run(const struct job *job, const struct child_image *input, const struct child_image *output, int event_fd)
{
    (void)job;
    static struct channel_writer writer;
    channel_writer_init(&writer, event_fd);
    child_behaviour(&writer, input, output);
    channel_writer_flush(&writer);
    _exit(0);
}

static void send_message(struct channel_writer *writer, const instar_GuestMessage *message)
{
    uint8_t bytes[instar_GuestMessage_size];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof(bytes));
    if (!pb_encode(&stream, instar_GuestMessage_fields, message) ||
        !channel_writer_append_guest_message(writer, (struct span){bytes, stream.bytes_written})) {
        _exit(3);
    }
}

static void send_init(struct channel_writer *writer)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_init_tag,
                                   .kind.init = {.program = "copy", .vcpus = 1, .devices = 2}};
    send_message(writer, &message);
}

static void send_progress(struct channel_writer *writer, uint64_t sectors)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_progress_tag,
                                   .kind.progress = {.sectors = sectors, .total_sectors = 1000000}};
    send_message(writer, &message);
}

static void send_complete(struct channel_writer *writer, bool success)
{
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {.success = success,
                          .bytes_written = strlen(CONTENT),
                          .has_error = !success,
                          .error = {.kind = ERROR_MALFORMED, .place = "input", .detail = "what a mess"}}};
    send_message(writer, &message);
}

static void send_end(struct channel_writer *writer, bool success, enum error_kind kind, const char *detail)
{
    instar_JobEvent *event = &writer->scratch;
    *event = (instar_JobEvent){.which_kind = instar_JobEvent_end_tag,
                               .kind.end = {.success = success, .error_kind = kind, .error_place = "a place"}};
    memcpy(event->kind.end.error_detail, detail, strlen(detail) + 1);
    channel_writer_append(writer, event);
}

static void copy_content(const struct child_image *input, const struct child_image *output)
{
    char content[64];
    ssize_t len = read(input->fd, content, sizeof(content));
    if (len < 0 || pwrite(output->fd, content, (size_t)len, 0) != len) {
        _exit(4);
    }
}

/* The tests' jobs copy "input" to "output". */

struct observed {
    unsigned int init_count;
    unsigned int progress_count;
    unsigned int complete_count;
    unsigned int idle_count;
    char debug_line[512];
};

static void observe_message(void *context, const instar_GuestMessage *message)
{
    struct observed *observed = context;
    observed->init_count += message->which_kind == instar_GuestMessage_init_tag;
    observed->progress_count += message->which_kind == instar_GuestMessage_progress_tag;
    observed->complete_count += message->which_kind == instar_GuestMessage_complete_tag;
}

static void observe_debug_line(void *context, const char *text)
{
    struct observed *observed = context;
    snprintf(observed->debug_line, sizeof(observed->debug_line), "%s", text);
}

static void observe_idle(void *context)
{
    struct observed *observed = context;
    observed->idle_count++;
}

static struct job_result result;
static struct error error;

static bool run(void (*behaviour)(struct channel_writer *, const struct child_image *, const struct child_image *),
                struct job_observer *observer, uint32_t timeout_s)
{
    struct job job = {
        .input = {"input", 512},
        .output = {"output", 512},
        .vcpu_count = 1,
        .timeout_s = timeout_s,
        .want_statistics = true,
    };
    child_behaviour = behaviour;
    memset(&error, 0, sizeof(error));
    return job_run(&job, observer, &result, &error);
}

static int case_enter(void **state)
{
    directory_enter(state);
    file_make("input", CONTENT);
    return 0;
}

/* Jobs that succeed do not wait for their child; the next test shall not meet it. */
static int case_leave(void **state)
{
    while (waitpid(-1, NULL, 0) > 0) {
    }
    return directory_leave(state);
}

/* The job failed so, and left nothing but its input. */
static void assert_failure(bool success, enum error_kind kind, const char *detail)
{
    assert_false(success);
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.detail, detail);
    assert_int_equal(directory_count(), 1);
    assert_file_content("input", CONTENT);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void copy_well(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    if (input->len != strlen(CONTENT) || output->len != strlen(CONTENT) || !output->zeroed || !output->is_regular ||
        strcmp(input->path, "input") != 0 || strcmp(output->path, "output") != 0) {
        _exit(2);
    }
    send_init(writer);
    send_progress(writer, 1);
    channel_writer_flush(writer);
    send_progress(writer, 2);
    channel_writer_append_debug_line(writer, "a debug line");
    copy_content(input, output);
    writer->scratch = (instar_JobEvent){.which_kind = instar_JobEvent_statistics_tag, .kind.statistics = {.exits = 42}};
    channel_writer_append(writer, &writer->scratch);
    send_complete(writer, true);
    send_end(writer, true, ERROR_NONE, "");
}

static void test_success(void **state)
{
    (void)state;
    struct observed observed = {0};
    struct job_observer observer = {
        .context = &observed, .guest_message = observe_message, .debug_line = observe_debug_line, .idle = observe_idle};
    assert_true(run(copy_well, &observer, 0));
    assert_false(error_is_set(&error));
    assert_file_content("output", CONTENT);
    assert_int_equal(directory_count(), 2);
    assert_int_equal(observed.init_count, 1);
    assert_int_equal(observed.progress_count, 2);
    assert_int_equal(observed.complete_count, 0);
    assert_true(observed.idle_count > 0);
    assert_string_equal(observed.debug_line, "a debug line");
    assert_true(result.has_statistics);
    assert_int_equal(result.statistics.exits, 42);
    assert_true(result.complete.success);
    assert_int_equal(result.complete.bytes_written, strlen(CONTENT));
}

static void test_nobody_observes(void **state)
{
    (void)state;
    assert_true(run(copy_well, NULL, 0));
    assert_file_content("output", CONTENT);
}

static void linger(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    copy_well(writer, input, output);
    channel_writer_flush(writer);
    close(writer->fd);
    pause();
}

/* Taking the machine down may take its time. */
static void test_nobody_waits_for_the_child(void **state)
{
    (void)state;
    assert_true(run(linger, NULL, 0));
    assert_file_content("output", CONTENT);
    /* This process goes on here: end the child that still waits. */
    pid_t child = waitpid(-1, NULL, WNOHANG);
    assert_int_equal(child, 0);
}

static void flood(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    send_init(writer);
    for (uint64_t i = 0; i < 1000000; i++) {
        send_progress(writer, i);
    }
    copy_content(input, output);
    send_complete(writer, true);
    send_end(writer, true, ERROR_NONE, "");
}

static void test_a_million_messages(void **state)
{
    (void)state;
    struct observed observed = {0};
    struct job_observer observer = {.context = &observed, .guest_message = observe_message};
    assert_true(run(flood, &observer, 0));
    assert_int_equal(observed.progress_count, 1000000);
}

static void fail_in_guest(struct channel_writer *writer, const struct child_image *input,
                          const struct child_image *output)
{
    (void)input;
    (void)output;
    send_init(writer);
    send_complete(writer, false);
    send_end(writer, true, ERROR_NONE, "");
}

static void test_the_guests_error(void **state)
{
    (void)state;
    assert_failure(run(fail_in_guest, NULL, 0), ERROR_MALFORMED, "what a mess");
    assert_string_equal(error.place, "input");
}

static void fail_in_both(struct channel_writer *writer, const struct child_image *input,
                         const struct child_image *output)
{
    (void)input;
    (void)output;
    send_init(writer);
    send_complete(writer, false);
    send_end(writer, true, ERROR_NO_SPACE, "no space");
}

/* The host saw the operation fail and has the system's words for it. */
static void test_the_hosts_error_wins(void **state)
{
    (void)state;
    assert_failure(run(fail_in_both, NULL, 0), ERROR_NO_SPACE, "no space");
    assert_string_equal(error.place, "a place");
}

static void claim_success(struct channel_writer *writer, const struct child_image *input,
                          const struct child_image *output)
{
    copy_content(input, output);
    send_init(writer);
    send_complete(writer, true);
    send_end(writer, true, ERROR_IO, "an operation failed");
}

static void test_a_guest_cannot_talk_an_error_away(void **state)
{
    (void)state;
    assert_failure(run(claim_success, NULL, 0), ERROR_IO, "an operation failed");
}

static void invent_kind(struct channel_writer *writer, const struct child_image *input,
                        const struct child_image *output)
{
    (void)input;
    (void)output;
    send_end(writer, false, (enum error_kind)1000, "");
}

static void test_an_unknown_kind_of_error(void **state)
{
    (void)state;
    assert_failure(run(invent_kind, NULL, 0), ERROR_HOST, "the machine failed and did not say why");
}

static void end_early(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    copy_content(input, output);
    send_init(writer);
    send_end(writer, true, ERROR_NONE, "");
}

static void test_no_result(void **state)
{
    (void)state;
    assert_failure(run(end_early, NULL, 0), ERROR_GUEST, "the guest ended without a result");
}

static void misbehave(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    (void)input;
    (void)output;
    channel_writer_append_guest_message(writer, (struct span){(const uint8_t *)"\xff\xff\xff", 3});
    channel_writer_flush(writer);
    pause();
}

static void test_a_malformed_message_ends_the_job(void **state)
{
    (void)state;
    assert_failure(run(misbehave, NULL, 0), ERROR_GUEST, "the guest sent a malformed message");
}

static void send_garbage(struct channel_writer *writer, const struct child_image *input,
                         const struct child_image *output)
{
    (void)input;
    (void)output;
    if (write(writer->fd, "\xff\xff\xff\xff", 4) == 4) {
        pause();
    }
}

static void test_a_malformed_event_ends_the_job(void **state)
{
    (void)state;
    assert_failure(run(send_garbage, NULL, 0), ERROR_HOST, "the machine's process sent a malformed event");
}

static void crash(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    (void)writer;
    (void)input;
    (void)output;
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit */
    raise(SIGSEGV);
}

static void test_a_crash(void **state)
{
    (void)state;
    assert_failure(run(crash, NULL, 0), ERROR_HOST,
                   "the machine's process was killed by signal 11 (Segmentation fault)");
}

static void kill_itself(struct channel_writer *writer, const struct child_image *input,
                        const struct child_image *output)
{
    (void)input;
    (void)output;
    send_init(writer);
    channel_writer_flush(writer);
    raise(SIGKILL);
}

static void test_a_kill(void **state)
{
    (void)state;
    assert_failure(run(kill_itself, NULL, 0), ERROR_HOST, "the machine's process was killed by signal 9 (Killed)");
}

static void exit_early(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    (void)writer;
    (void)input;
    (void)output;
    _exit(7);
}

static void test_an_exit(void **state)
{
    (void)state;
    assert_failure(run(exit_early, NULL, 0), ERROR_HOST, "the machine's process exited with 7 before the job was done");
}

static void never_end(struct channel_writer *writer, const struct child_image *input, const struct child_image *output)
{
    (void)writer;
    (void)input;
    (void)output;
    for (;;) {
        pause();
    }
}

static void test_the_time_limit(void **state)
{
    (void)state;
    assert_failure(run(never_end, NULL, 1), ERROR_LIMIT, "the job exceeded its time limit of 1 s");
}

static void talk_forever(struct channel_writer *writer, const struct child_image *input,
                         const struct child_image *output)
{
    (void)input;
    (void)output;
    send_init(writer);
    for (;;) {
        send_progress(writer, 1);
    }
}

static void test_the_time_limit_of_a_talker(void **state)
{
    (void)state;
    assert_failure(run(talk_forever, NULL, 1), ERROR_LIMIT, "the job exceeded its time limit of 1 s");
}

static void interrupt_on_idle(void *context)
{
    unsigned int *count = context;
    if (++*count == 3) {
        raise(SIGTERM);
        assert_true(job_is_interrupted());
    }
}

/* Also: idle is called although no message comes. */
static void test_an_interruption(void **state)
{
    (void)state;
    unsigned int count = 0;
    struct job_observer observer = {.context = &count, .idle = interrupt_on_idle, .idle_interval_ms = 10};
    assert_failure(run(never_end, &observer, 0), ERROR_INTERRUPTED, "interrupted by signal 15 (Terminated)");
    assert_int_equal(result.signal_number, SIGTERM);
}

static void hang_up_once(void *context)
{
    unsigned int *count = context;
    if (++*count == 1) {
        raise(SIGHUP);
    }
}

static void copy_slowly(struct channel_writer *writer, const struct child_image *input,
                        const struct child_image *output)
{
    struct timespec duration = {.tv_nsec = 100000000};
    nanosleep(&duration, NULL);
    copy_well(writer, input, output);
}

/* As under nohup. */
static void test_an_ignored_signal_stays_ignored(void **state)
{
    (void)state;
    unsigned int count = 0;
    struct job_observer observer = {.context = &count, .idle = hang_up_once, .idle_interval_ms = 10};
    signal(SIGHUP, SIG_IGN);
    assert_true(run(copy_slowly, &observer, 0));
    signal(SIGHUP, SIG_DFL);
    assert_file_content("output", CONTENT);
}

static void signal_itself(struct channel_writer *writer, const struct child_image *input,
                          const struct child_image *output)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        raise(signals[i]);
    }
    copy_well(writer, input, output);
}

/* Ctrl-C reaches the child, too. */
static void test_the_child_ignores_what_its_parent_decides(void **state)
{
    (void)state;
    assert_true(run(signal_itself, NULL, 0));
}

static void check_descriptors(struct channel_writer *writer, const struct child_image *input,
                              const struct child_image *output)
{
    DIR *stream = opendir("/proc/self/fd");
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO && fd != writer->fd && fd != input->fd && fd != output->fd && fd != dirfd(stream)) {
            _exit(5);
        }
    }
    struct stat stdout_status;
    struct stat null_status;
    if (fstat(STDOUT_FILENO, &stdout_status) != 0 || stat("/dev/null", &null_status) != 0 ||
        stdout_status.st_rdev != null_status.st_rdev) {
        _exit(6);
    }
    copy_well(writer, input, output);
}

static void test_the_child_has_no_other_descriptors(void **state)
{
    (void)state;
    int inherited = open("input", O_RDONLY);
    assert_true(run(check_descriptors, NULL, 0));
    close(inherited);
}

static void test_signals_are_as_before(void **state)
{
    (void)state;
    sigset_t before;
    sigset_t after;
    struct sigaction action;
    signal(SIGCHLD, SIG_IGN); /* inherited from a careless parent */
    sigprocmask(SIG_SETMASK, NULL, &before);
    assert_true(run(copy_well, NULL, 0));
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < NSIG; number++) {
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    }
    assert_int_equal(sigaction(SIGCHLD, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
    assert_int_equal(sigaction(SIGXFSZ, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
}

static void test_a_missing_input_touches_nothing(void **state)
{
    (void)state;
    assert_int_equal(unlink("input"), 0);
    file_make("output", "old");
    assert_false(run(copy_well, NULL, 0));
    assert_int_equal(error.kind, ERROR_IO);
    assert_file_content("output", "old");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, case_enter, case_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_success),
        TEST(test_nobody_observes),
        TEST(test_a_million_messages),
        TEST(test_the_guests_error),
        TEST(test_the_hosts_error_wins),
        TEST(test_a_guest_cannot_talk_an_error_away),
        TEST(test_an_unknown_kind_of_error),
        TEST(test_no_result),
        TEST(test_a_malformed_message_ends_the_job),
        TEST(test_a_malformed_event_ends_the_job),
        TEST(test_a_crash),
        TEST(test_a_kill),
        TEST(test_an_exit),
        TEST(test_the_time_limit),
        TEST(test_the_time_limit_of_a_talker),
        TEST(test_an_interruption),
        TEST(test_an_ignored_signal_stays_ignored),
        TEST(test_the_child_ignores_what_its_parent_decides),
        TEST(test_the_child_has_no_other_descriptors),
        TEST(test_signals_are_as_before),
        TEST(test_a_missing_input_touches_nothing),
        /* Last, and without waiting: its child ends with this process. */
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_the_child, case_enter, directory_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
