/* SPDX-License-Identifier: Apache-2.0 */
/* The job's files as streams: all ways to cut them into pieces, and what breaks their rules. */
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "host/devices/stream_files.h"
#include "test_backends_support.h"

#define LEN 5000u
#define STREAM_LEN_MAX (2 * LEN)

static uint8_t content[LEN];

static struct transport_file file_open(bool writable)
{
    pattern_fill(content, 0, LEN, 7);
    if (writable) {
        file_create_hole(image, LEN);
    } else {
        file_create(image, content, LEN);
    }
    return (struct transport_file){
        .name = writable ? "output" : "input",
        .backend = open_backend(BACKEND_REGULAR, image, LEN, writable),
    };
}

static void file_end(struct transport_file *file)
{
    assert_int_equal(backend_close(file->backend, true), 0);
    unlink(image);
}

static void the_input_is_its_length_and_its_bytes(void **state UNUSED)
{
    static const size_t part_lens[] = {1, 7, 8, 9, 4096, LEN + sizeof(struct stream_head), STREAM_LEN_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(part_lens); i++) {
        struct transport_file file = file_open(false);
        struct stream_source source = {.file = &file};
        struct error error = {0};
        uint8_t stream[STREAM_LEN_MAX];
        size_t stream_len = 0;
        size_t len;
        do { /* ends: the stream has an end */
            size_t room = min_u64(part_lens[i], sizeof(stream) - stream_len);
            assert_true(stream_source_next(&source, stream + stream_len, room, &len, &error));
            stream_len += len;
            assert_true(len == room || stream_len == sizeof(struct stream_head) + LEN);
        } while (len > 0);
        assert_int_equal(stream_len, sizeof(struct stream_head) + LEN);
        struct stream_head head;
        memcpy(&head, stream, sizeof(head));
        assert_int_equal(head.len, LEN);
        assert_memory_equal(stream + sizeof(head), content, LEN);
        file_end(&file);
    }
}

/* The file has become shorter: the stream ends where a read fails, and says no more. */
static void an_input_that_fails_ends_early(void **state UNUSED)
{
    struct transport_file file = file_open(false);
    struct stream_source source = {.file = &file};
    struct error error = {0};
    uint8_t bytes[1000];
    size_t len;
    size_t stream_len = 0;
    assert_int_equal(truncate(image, 2500), 0);
    do { /* ends: a read fails */
        assert_true(stream_source_next(&source, bytes, sizeof(bytes), &len, &error));
        stream_len += len;
    } while (len > 0);
    assert_true(source.has_failed);
    assert_int_not_equal(file.errno_value, 0);
    assert_int_equal(stream_len, 2000);
    assert_true(stream_source_next(&source, bytes, sizeof(bytes), &len, &error));
    assert_int_equal(len, 0);
    file_end(&file);
}

static size_t request_put(uint8_t *stream, uint32_t kind, uint64_t len, const uint8_t *data)
{
    struct stream_request request = {.kind = kind, .len = len};
    memcpy(stream, &request, sizeof(request));
    if (data != NULL) {
        memcpy(stream + sizeof(request), data, len);
    }
    return sizeof(request) + (data != NULL ? len : 0);
}

/* Sends the stream in pieces, takes replies one byte at a time; returns how many of them there were. */
static unsigned int stream_give(struct stream_sink *sink, const uint8_t *stream, size_t stream_len, size_t part_len)
{
    struct error error = {0};
    size_t reply_len = 0;
    for (size_t off = 0; off < stream_len;) { /* ends: each round takes a byte, or sends one of a reply */
        size_t taken_len;
        size_t left_len;
        assert_true(stream_sink_take(sink, stream + off, min_u64(part_len, stream_len - off), &taken_len, &error));
        off += taken_len;
        if (stream_sink_reply(sink, &left_len), left_len > 0) {
            stream_sink_replied(sink, 1);
            reply_len++;
        }
    }
    size_t left_len;
    while (stream_sink_reply(sink, &left_len), left_len > 0) { /* ends: a reply has few bytes */
        stream_sink_replied(sink, 1);
        reply_len++;
    }
    assert_int_equal(reply_len % sizeof(struct stream_reply), 0);
    return (unsigned int)(reply_len / sizeof(struct stream_reply));
}

static void the_output_is_made_of_requests(void **state UNUSED)
{
    static const size_t part_lens[] = {1, 2, 15, 16, 17, 1000, STREAM_LEN_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(part_lens); i++) {
        struct transport_file file = file_open(true);
        struct stream_sink sink = {.file = &file};
        uint8_t stream[STREAM_LEN_MAX];
        size_t len = request_put(stream, STREAM_DATA, 1, content);
        len += request_put(stream + len, STREAM_DATA, LEN - 2, content + 1);
        len += request_put(stream + len, STREAM_FLUSH, 0, NULL);
        len += request_put(stream + len, STREAM_DATA, 1, content + LEN - 1);
        len += request_put(stream + len, STREAM_FINISH, 0, NULL);
        assert_int_equal(stream_give(&sink, stream, len, part_lens[i]), 2);
        assert_true(sink.is_finished);
        assert_false(sink.has_failed);
        assert_int_equal(sink.reply.status, STREAM_OK);
        assert_int_equal(file.statistics.flushes, 1);
        assert_int_equal(file.statistics.bytes_written, LEN);
        file_end(&file);
        file_create(image, content, LEN);
        unlink(image);
    }
}

static void a_reply_comes_before_what_follows(void **state UNUSED)
{
    struct transport_file file = file_open(true);
    struct stream_sink sink = {.file = &file};
    struct error error = {0};
    uint8_t stream[100];
    size_t first_len = request_put(stream, STREAM_FLUSH, 0, NULL);
    size_t len = first_len + request_put(stream + first_len, STREAM_DATA, 10, content);
    size_t taken_len;
    size_t reply_len;
    assert_true(stream_sink_take(&sink, stream, len, &taken_len, &error));
    assert_int_equal(taken_len, first_len);
    assert_true(stream_sink_take(&sink, stream + first_len, len - first_len, &taken_len, &error));
    assert_int_equal(taken_len, 0);
    stream_sink_reply(&sink, &reply_len);
    assert_int_equal(reply_len, sizeof(struct stream_reply));
    stream_sink_replied(&sink, reply_len);
    assert_true(stream_sink_take(&sink, stream + first_len, len - first_len, &taken_len, &error));
    assert_int_equal(taken_len, len - first_len);
    assert_int_equal(sink.off, 10);
    file_end(&file);
}

static void requests_that_are_none_are_errors(void **state UNUSED)
{
    static const struct stream_request requests[] = {
        {.kind = STREAM_DATA, .len = 0},
        {.kind = STREAM_FLUSH, .len = 1},
        {.kind = STREAM_FINISH, .len = UINT64_MAX},
        {.kind = 0, .len = 0},
        {.kind = 4, .len = 0},
        {.kind = UINT32_MAX, .len = 0},
        {.kind = STREAM_DATA, .reserved = 1, .len = 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct transport_file file = file_open(true);
        struct stream_sink sink = {.file = &file};
        struct error error = {0};
        size_t taken_len;
        assert_false(stream_sink_take(&sink, &requests[i], sizeof(requests[i]), &taken_len, &error));
        assert_int_equal(error.kind, ERROR_GUEST);
        file_end(&file);
    }
}

static void data_past_the_end_is_an_error(void **state UNUSED)
{
    static const uint64_t lens[] = {LEN + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        struct transport_file file = file_open(true);
        struct stream_sink sink = {.file = &file};
        struct error error = {0};
        uint8_t stream[STREAM_LEN_MAX];
        size_t taken_len;
        size_t head_len = request_put(stream, STREAM_DATA, lens[i], NULL);
        memset(stream + head_len, 1, LEN + 1);
        assert_true(stream_sink_take(&sink, stream, head_len + LEN, &taken_len, &error));
        assert_int_equal(taken_len, head_len + LEN);
        assert_false(stream_sink_take(&sink, stream, 1, &taken_len, &error));
        assert_int_equal(error.kind, ERROR_GUEST);
        file_end(&file);
    }
}

static void nothing_follows_the_last_request(void **state UNUSED)
{
    struct transport_file file = file_open(true);
    struct stream_sink sink = {.file = &file};
    struct error error = {0};
    uint8_t stream[100];
    size_t taken_len;
    assert_int_equal(stream_give(&sink, stream, request_put(stream, STREAM_FINISH, 0, NULL), 100), 1);
    size_t len = request_put(stream, STREAM_FLUSH, 0, NULL);
    assert_false(stream_sink_take(&sink, stream, len, &taken_len, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    file_end(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_input_is_its_length_and_its_bytes), cmocka_unit_test(an_input_that_fails_ends_early),
        cmocka_unit_test(the_output_is_made_of_requests),        cmocka_unit_test(a_reply_comes_before_what_follows),
        cmocka_unit_test(requests_that_are_none_are_errors),     cmocka_unit_test(data_past_the_end_is_an_error),
        cmocka_unit_test(nothing_follows_the_last_request),
    };
    return cmocka_run_group_tests(tests, directories_create, directories_remove);
}
