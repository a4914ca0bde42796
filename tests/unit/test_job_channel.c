/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/endian.h"
#include "host/job/channel.h"

struct channel {
    int ends[2];
    struct channel_writer writer;
    struct channel_reader reader;
};

static int channel_open(void **state)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    assert_non_null(channel);
    assert_int_equal(pipe2(channel->ends, O_CLOEXEC), 0);
    channel_writer_init(&channel->writer, channel->ends[1]);
    channel_reader_init(&channel->reader, channel->ends[0]);
    *state = channel;
    return 0;
}

static int channel_close(void **state)
{
    struct channel *channel = *state;
    close(channel->ends[0]);
    close(channel->ends[1]);
    free(channel);
    return 0;
}

static struct span text_span(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

/* Fills the reader until it has the next event. */
static enum channel_status next_event(struct channel_reader *reader)
{
    enum channel_status status;
    while ((status = channel_reader_next(reader)) == CHANNEL_INCOMPLETE) {
        if (channel_reader_fill(reader) <= 0) {
            return CHANNEL_INCOMPLETE;
        }
    }
    return status;
}

static void assert_guest_message(const struct channel_reader *reader, const char *text)
{
    assert_int_equal(reader->event.which_kind, instar_JobEvent_guest_message_tag);
    assert_int_equal(reader->event.kind.guest_message.size, strlen(text));
    assert_memory_equal(reader->event.kind.guest_message.bytes, text, strlen(text));
}

static void test_events_arrive_in_order(void **state)
{
    struct channel *channel = *state;
    assert_true(channel_writer_append_guest_message(&channel->writer, text_span("first")));
    assert_true(channel_writer_append_debug_line(&channel->writer, "second"));
    instar_JobEvent *event = &channel->writer.scratch;
    *event = (instar_JobEvent){.which_kind = instar_JobEvent_end_tag, .kind.end = {.success = true, .error_kind = 3}};
    assert_true(channel_writer_append(&channel->writer, event));
    assert_true(channel_writer_flush(&channel->writer));

    assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
    assert_guest_message(&channel->reader, "first");
    assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
    assert_int_equal(channel->reader.event.which_kind, instar_JobEvent_debug_line_tag);
    assert_string_equal(channel->reader.event.kind.debug_line.text, "second");
    assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
    assert_int_equal(channel->reader.event.which_kind, instar_JobEvent_end_tag);
    assert_true(channel->reader.event.kind.end.success);
    assert_int_equal(channel->reader.event.kind.end.error_kind, 3);
}

static void test_nothing_is_written_before_flush(void **state)
{
    struct channel *channel = *state;
    assert_int_equal(fcntl(channel->ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_true(channel_writer_append_guest_message(&channel->writer, text_span("waits")));
    assert_int_equal(channel_reader_fill(&channel->reader), -EAGAIN);
    assert_true(channel_writer_flush(&channel->writer));
    assert_true(channel_reader_fill(&channel->reader) > 0);
}

static void fill_largest_statistics(instar_JobEvent *event)
{
    *event = (instar_JobEvent){.which_kind = instar_JobEvent_statistics_tag};
    instar_Statistics *statistics = &event->kind.statistics;
    statistics->exits = UINT64_MAX;
    statistics->devices_count = ARRAY_COUNT(statistics->devices);
    statistics->kernel_statistics_count = ARRAY_COUNT(statistics->kernel_statistics);
    for (size_t i = 0; i < ARRAY_COUNT(statistics->kernel_statistics); i++) {
        memset(statistics->kernel_statistics[i].name, 'k', sizeof(statistics->kernel_statistics[i].name) - 1);
        statistics->kernel_statistics[i].vcpu = -1;
        statistics->kernel_statistics[i].value = UINT64_MAX - i;
    }
}

static void test_the_largest_event_fits(void **state)
{
    struct channel *channel = *state;
    fill_largest_statistics(&channel->writer.scratch);
    assert_true(channel_writer_append(&channel->writer, &channel->writer.scratch));
    assert_true(channel_writer_flush(&channel->writer));
    assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
    assert_memory_equal(&channel->reader.event.kind.statistics, &channel->writer.scratch.kind.statistics,
                        sizeof(instar_Statistics));
}

/* The bytes arrive in pieces of any size: every event is the same. */
static void test_random_splits(void **state)
{
    struct channel *channel = *state;
    unsigned int seed = 1;
    char text[200];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(text, sizeof(text), "%d %0*d", i, (round * 7 + i * 13) % 150 + 1, i);
            assert_true(channel_writer_append_guest_message(&channel->writer, text_span(text)));
        }
        size_t len = channel->writer.len;
        channel->writer.len = 0; /* sent here, in pieces */
        int next = 0;
        for (size_t sent = 0; sent < len;) {
            size_t part = (size_t)rand_r(&seed) % 90 + 1;
            part = part < len - sent ? part : len - sent;
            assert_int_equal(write(channel->ends[1], channel->writer.buffer + sent, part), part);
            sent += part;
            assert_int_equal(channel_reader_fill(&channel->reader), part);
            enum channel_status status;
            while ((status = channel_reader_next(&channel->reader)) == CHANNEL_EVENT) {
                snprintf(text, sizeof(text), "%d %0*d", next, (round * 7 + next * 13) % 150 + 1, next);
                assert_guest_message(&channel->reader, text);
                next++;
            }
            assert_int_equal(status, CHANNEL_INCOMPLETE);
        }
        assert_int_equal(next, 20);
    }
}

/* More than buffer and pipe hold: the writer blocks, writes partly, and goes on. */
static void test_a_flood(void **state)
{
    struct channel *channel = *state;
    const int count = 100000;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool success = true;
        for (int i = 0; i < count && success; i++) {
            char text[32];
            snprintf(text, sizeof(text), "message %d", i);
            success = channel_writer_append_guest_message(&channel->writer, text_span(text));
        }
        _exit(success && channel_writer_flush(&channel->writer) ? 0 : 1);
    }
    for (int i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof(text), "message %d", i);
        assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
        assert_guest_message(&channel->reader, text);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_an_oversized_guest_message_is_refused(void **state)
{
    struct channel *channel = *state;
    static const uint8_t bytes[FRAME_BODY_MAX + 1];
    assert_true(channel_writer_append_guest_message(&channel->writer, (struct span){bytes, FRAME_BODY_MAX}));
    assert_false(channel_writer_append_guest_message(&channel->writer, (struct span){bytes, FRAME_BODY_MAX + 1}));
}

static void test_a_long_debug_line_is_cut(void **state)
{
    struct channel *channel = *state;
    char line[1000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    assert_true(channel_writer_append_debug_line(&channel->writer, line));
    assert_true(channel_writer_flush(&channel->writer));
    assert_int_equal(next_event(&channel->reader), CHANNEL_EVENT);
    assert_int_equal(strlen(channel->reader.event.kind.debug_line.text), 511);
}

static void send_frame(struct channel *channel, uint32_t len, const char *body, size_t body_len)
{
    struct le32 head = le32_make(len);
    assert_int_equal(write(channel->ends[1], &head, sizeof(head)), sizeof(head));
    assert_int_equal(write(channel->ends[1], body, body_len), body_len);
}

static void test_an_oversized_frame_is_malformed(void **state)
{
    struct channel *channel = *state;
    send_frame(channel, instar_JobEvent_size + 1, "", 0);
    assert_int_equal(next_event(&channel->reader), CHANNEL_MALFORMED);
}

static void test_the_longest_length_is_malformed(void **state)
{
    struct channel *channel = *state;
    send_frame(channel, UINT32_MAX, "", 0);
    assert_int_equal(next_event(&channel->reader), CHANNEL_MALFORMED);
}

static void test_garbage_is_malformed(void **state)
{
    struct channel *channel = *state;
    send_frame(channel, 4, "\xff\xff\xff\xff", 4);
    assert_int_equal(next_event(&channel->reader), CHANNEL_MALFORMED);
}

static void test_an_empty_event_is_malformed(void **state)
{
    struct channel *channel = *state;
    send_frame(channel, 0, "", 0);
    assert_int_equal(next_event(&channel->reader), CHANNEL_MALFORMED);
}

static void test_a_truncated_stream_has_no_event(void **state)
{
    struct channel *channel = *state;
    send_frame(channel, 100, "short", 5);
    close(channel->ends[1]);
    assert_int_equal(next_event(&channel->reader), CHANNEL_INCOMPLETE);
    assert_int_equal(channel_reader_fill(&channel->reader), 0);
    channel->ends[1] = -1;
}

static void test_a_parent_that_is_gone_is_an_error(void **state)
{
    struct channel *channel = *state;
    signal(SIGPIPE, SIG_IGN);
    close(channel->ends[0]);
    channel->ends[0] = -1;
    assert_true(channel_writer_append_guest_message(&channel->writer, text_span("anybody?")));
    assert_false(channel_writer_flush(&channel->writer));
    assert_int_equal(channel->writer.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, channel_open, channel_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_events_arrive_in_order),
        TEST(test_nothing_is_written_before_flush),
        TEST(test_the_largest_event_fits),
        TEST(test_random_splits),
        TEST(test_a_flood),
        TEST(test_an_oversized_guest_message_is_refused),
        TEST(test_a_long_debug_line_is_cut),
        TEST(test_an_oversized_frame_is_malformed),
        TEST(test_the_longest_length_is_malformed),
        TEST(test_garbage_is_malformed),
        TEST(test_an_empty_event_is_malformed),
        TEST(test_a_truncated_stream_has_no_event),
        TEST(test_a_parent_that_is_gone_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
