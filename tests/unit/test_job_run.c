/* SPDX-License-Identifier: Apache-2.0 */
/* job_run: what it makes of what a child reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "test_job_run_support.h"
#include "test_job_support.h"

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

static void test_success(void **state)
{
    (void)state;
    struct observed observed = {0};
    struct job_observer observer = {
        .context = &observed, .guest_message = observe_message, .debug_line = observe_debug_line, .idle = observe_idle};
    assert_true(run_job(copy_well, &observer, 0));
    assert_false(error_is_set(&run_error));
    assert_file_content("output", RUN_CONTENT);
    assert_int_equal(directory_count(), 2);
    assert_int_equal(observed.init_count, 1);
    assert_int_equal(observed.progress_count, 2);
    assert_int_equal(observed.complete_count, 0);
    assert_true(observed.idle_count > 0);
    assert_string_equal(observed.debug_line, "a debug line");
    assert_true(run_result.has_statistics);
    assert_int_equal(run_result.statistics.exits, 42);
    assert_true(run_result.complete.success);
    assert_int_equal(run_result.complete.bytes_written, strlen(RUN_CONTENT));
}

static void test_nobody_observes(void **state)
{
    (void)state;
    assert_true(run_job(copy_well, NULL, 0));
    assert_file_content("output", RUN_CONTENT);
}

static void flood(const struct fake_child *child)
{
    send_init(child->writer);
    for (uint64_t i = 0; i < 1000000; i++) {
        send_progress(child->writer, i);
    }
    copy_content(child);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void test_a_million_messages(void **state)
{
    (void)state;
    struct observed observed = {0};
    struct job_observer observer = {.context = &observed, .guest_message = observe_message};
    assert_true(run_job(flood, &observer, 0));
    assert_int_equal(observed.progress_count, 1000000);
}

static void fail_in_guest(const struct fake_child *child)
{
    send_init(child->writer);
    send_complete(child->writer, false);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void test_the_guests_error(void **state)
{
    (void)state;
    assert_run_failed(run_job(fail_in_guest, NULL, 0), ERROR_MALFORMED, "what a mess");
    assert_string_equal(run_error.place, "input");
}

static void fail_in_both(const struct fake_child *child)
{
    send_init(child->writer);
    send_complete(child->writer, false);
    send_end(child->writer, true, ERROR_NO_SPACE, "no space");
}

/* The host saw the operation fail and has the system's words for it. */
static void test_the_hosts_error_wins(void **state)
{
    (void)state;
    assert_run_failed(run_job(fail_in_both, NULL, 0), ERROR_NO_SPACE, "no space");
    assert_string_equal(run_error.place, "a place");
}

static void claim_success(const struct fake_child *child)
{
    copy_content(child);
    send_init(child->writer);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_IO, "an operation failed");
}

static void test_a_guest_cannot_talk_an_error_away(void **state)
{
    (void)state;
    assert_run_failed(run_job(claim_success, NULL, 0), ERROR_IO, "an operation failed");
}

static void invent_kind(const struct fake_child *child)
{
    send_end(child->writer, false, (enum error_kind)1000, "");
}

static void test_an_unknown_kind_of_error(void **state)
{
    (void)state;
    assert_run_failed(run_job(invent_kind, NULL, 0), ERROR_HOST, "the machine failed and did not say why");
}

static void end_early(const struct fake_child *child)
{
    copy_content(child);
    send_init(child->writer);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void test_no_result(void **state)
{
    (void)state;
    assert_run_failed(run_job(end_early, NULL, 0), ERROR_GUEST, "the guest ended without a result");
}

static void misbehave(const struct fake_child *child)
{
    channel_writer_append_guest_message(child->writer, (struct span){(const uint8_t *)"\xff\xff\xff", 3});
    channel_writer_flush(child->writer);
    pause();
}

static void test_a_malformed_message_ends_the_job(void **state)
{
    (void)state;
    assert_run_failed(run_job(misbehave, NULL, 0), ERROR_GUEST, "the guest sent a malformed message");
}

static void send_garbage(const struct fake_child *child)
{
    if (write(child->writer->fd, "\xff\xff\xff\xff", 4) == 4) {
        pause();
    }
}

static void test_a_malformed_event_ends_the_job(void **state)
{
    (void)state;
    assert_run_failed(run_job(send_garbage, NULL, 0), ERROR_HOST, "the machine's process sent a malformed event");
}

static void test_a_missing_input_touches_nothing(void **state)
{
    (void)state;
    assert_int_equal(unlink("input"), 0);
    file_make("output", "old");
    assert_false(run_job(copy_well, NULL, 0));
    assert_int_equal(run_error.kind, ERROR_IO);
    assert_file_content("output", "old");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_enter, run_leave)

int main(int argc, char **argv)
{
    child_enter(argc, argv);
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
        TEST(test_a_missing_input_touches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
