/* SPDX-License-Identifier: Apache-2.0 */
/* Many operations at once, for the backend that is asynchronous. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_backends_support.h"

/* As many operations as may be in flight, started without a submit in between, reaped by threes. */
static void test_operations_in_flight(void **state UNUSED)
{
    size_t part_len = 5000;
    size_t len = part_len * BACKEND_IN_FLIGHT_MAX;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create_hole(image, len);
    struct backend *backend = open_backend(BACKEND_IO_URING, image, len, true);
    struct backend_operation operations[BACKEND_IN_FLIGHT_MAX + 1];
    struct iovec iov[BACKEND_IN_FLIGHT_MAX + 1];
    unsigned int finished_count = 0;
    assert_int_equal(backend_reap(backend, &(struct backend_operation *){NULL}, 1, true), 0);
    for (unsigned int i = 0; i <= BACKEND_IN_FLIGHT_MAX; i++) {
        size_t off = part_len * (i % BACKEND_IN_FLIGHT_MAX);
        iov[i] = (struct iovec){content + off, part_len};
        operations[i] = (struct backend_operation){
            .kind = BACKEND_WRITE, .off = off, .len = part_len, .iov = &iov[i], .iov_count = 1, .result = -1};
        assert_int_equal(backend_start(backend, &operations[i]), i == BACKEND_IN_FLIGHT_MAX);
    }
    assert_int_not_equal(operations[BACKEND_IN_FLIGHT_MAX].result, 0);
    backend_submit(backend);
    while (finished_count < BACKEND_IN_FLIGHT_MAX) {
        struct backend_operation *finished[3];
        struct pollfd event = {.fd = backend->event_fd, .events = POLLIN};
        assert_int_equal(poll(&event, 1, 10000), 1);
        unsigned int count = backend_reap(backend, finished, 3, false);
        assert_true(count <= 3);
        for (unsigned int i = 0; i < count; i++) {
            assert_int_equal(finished[i]->result, 0);
            finished[i]->result = -1; /* a second report of it fails above */
        }
        finished_count += count;
    }
    assert_int_equal(backend_reap(backend, &(struct backend_operation *){NULL}, 1, true), 0);
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(image, content, len);
    free(content);
    unlink(image);
}

/* All kinds of operations in flight together, on ranges of their own. */
static void test_mixed_operations_in_flight(void **state UNUSED)
{
    size_t part_len = 8192;
    size_t len = part_len * 5;
    uint8_t *content = malloc(len);
    uint8_t *found = malloc(part_len);
    pattern_fill(content, 0, len, 1);
    file_create(memory_image, content, len);
    struct backend *backend = open_backend(BACKEND_IO_URING, memory_image, len, true);
    pattern_fill(content, 0, part_len, 2);
    struct iovec write_iov = {content, part_len};
    struct iovec read_iov = {found, part_len};
    struct backend_operation operations[] = {
        {.kind = BACKEND_WRITE, .off = 0, .len = part_len, .iov = &write_iov, .iov_count = 1},
        {.kind = BACKEND_READ, .off = part_len, .len = part_len, .iov = &read_iov, .iov_count = 1},
        {.kind = BACKEND_WRITE_ZEROES, .off = 2 * part_len, .len = part_len, .may_unmap = false},
        {.kind = BACKEND_WRITE_ZEROES, .off = 3 * part_len, .len = part_len, .may_unmap = true},
        {.kind = BACKEND_FLUSH},
        {.kind = BACKEND_DISCARD, .off = 4 * part_len, .len = part_len},
    };
    unsigned int count = ARRAY_COUNT(operations);
    for (unsigned int i = 0; i < count; i++) {
        assert_false(backend_start(backend, &operations[i]));
    }
    backend_submit(backend);
    while (count > 0) {
        struct backend_operation *finished[ARRAY_COUNT(operations)];
        unsigned int finished_count = backend_reap(backend, finished, ARRAY_COUNT(operations), true);
        assert_true(finished_count > 0);
        for (unsigned int i = 0; i < finished_count; i++) {
            assert_int_equal(finished[i]->result, 0);
        }
        count -= finished_count;
    }
    assert_memory_equal(found, content + part_len, part_len);
    assert_int_equal(backend_close(backend, true), 0);
    memset(content + 2 * part_len, 0, 3 * part_len);
    assert_file_is(memory_image, content, len);
    free(content);
    free(found);
    unlink(memory_image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations_in_flight),
        cmocka_unit_test(test_mixed_operations_in_flight),
    };
    return cmocka_run_group_tests_name("backends: in flight", tests, directories_create, directories_remove);
}
