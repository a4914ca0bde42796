/* SPDX-License-Identifier: Apache-2.0 */
/* The backend that keeps a device in memory: when the file changes, and how much it holds. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/backends/kinds.h"
#include "test_backends_support.h"

/* Without `keep`, what memory holds does not reach the file. */
static void test_memory_reaches_the_file_at_the_end_only(void **state UNUSED)
{
    size_t len = 300001;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create(image, content, len);
    for (unsigned int keep = 0; keep < 2; keep++) {
        struct backend *backend = open_backend(BACKEND_MEMORY, image, len, true);
        uint8_t *changed = malloc(len);
        pattern_fill(changed, 0, len, 2);
        assert_int_equal(run_write(backend, 0, changed, len), 0);
        assert_int_equal(run_range(backend, BACKEND_FLUSH, 0, 0, false), 0);
        assert_file_is(image, content, len);
        assert_int_equal(backend_close(backend, keep == 1), 0);
        assert_file_is(image, keep == 1 ? changed : content, len);
        free(changed);
    }
    free(content);
    unlink(image);
}

/* Storage that somebody reserved in the file stays reserved where memory has nothing to put. */
static void test_memory_keeps_reserved_storage(void **state UNUSED)
{
    size_t len = 300001;
    file_create_hole(image, len);
    struct backend *backend = open_backend(BACKEND_MEMORY, image, len, true);
    if (fallocate(backend->fd, 0, 0, (off_t)len) != 0) {
        backend_close(backend, false);
        unlink(image);
        skip();
    }
    uint8_t byte = 1;
    assert_int_equal(run_write(backend, 100000, &byte, 1), 0);
    assert_int_equal(backend_close(backend, true), 0);
    struct stat status;
    assert_int_equal(stat(image, &status), 0);
    assert_true((uint64_t)status.st_blocks * 512 >= len);
    unlink(image);
}

static struct backend *open_bounded(uint64_t len, uint64_t stored_max_len, struct error *error)
{
    int fd = open(image, O_RDWR | O_CLOEXEC);
    struct backend_config config = {.kind = BACKEND_MEMORY, .path = image, .fd = fd, .len = len, .writable = true};
    struct backend *backend = memory_open_bounded(&config, stored_max_len, error);
    if (backend == NULL) {
        close(fd);
    }
    return backend;
}

static void test_memory_is_bounded(void **state UNUSED)
{
    uint8_t content[65536];
    pattern_fill(content, 0, sizeof(content), 1);
    file_create_hole(image, 100 * MIB);
    struct error error = {0};
    struct backend *backend = open_bounded(100 * MIB, 2 * sizeof(content), &error);
    assert_non_null(backend);
    assert_int_equal(run_write(backend, 10 * MIB, content, sizeof(content)), 0);
    assert_int_equal(run_write(backend, 50 * MIB, content, sizeof(content)), 0);
    assert_int_equal(run_write(backend, 20 * MIB, content, 1), ENOSPC);
    assert_int_equal(run_write(backend, 50 * MIB - 1, content, 2), ENOSPC);
    assert_int_equal(run_range(backend, BACKEND_WRITE_ZEROES, 20 * MIB, 1, false), ENOSPC);
    /* Neither what is there already nor a hole takes more. */
    assert_int_equal(run_write(backend, 10 * MIB + 1, content, sizeof(content) - 1), 0);
    assert_int_equal(run_range(backend, BACKEND_WRITE_ZEROES, 0, 10 * MIB + 100, true), 0);
    assert_int_equal(run_range(backend, BACKEND_DISCARD, 10 * MIB, 4096, false), 0);
    assert_int_equal(run_write(backend, 20 * MIB, content, 4096), 0);
    assert_int_equal(run_write(backend, 20 * MIB + 4096, content, 1), ENOSPC);
    assert_int_equal(backend_close(backend, true), 0);
    assert_int_equal(file_len(image), 100 * MIB);
}

static void test_memory_does_not_load_more_than_its_bound(void **state UNUSED)
{
    uint8_t content[65536];
    pattern_fill(content, 0, sizeof(content), 1);
    file_create(image, content, sizeof(content));
    assert_int_equal(truncate(image, 100 * MIB), 0);
    struct error error = {0};
    struct backend *backend = open_bounded(100 * MIB, sizeof(content), &error);
    assert_non_null(backend);
    assert_int_equal(backend_close(backend, false), 0);
    assert_null(open_bounded(100 * MIB, sizeof(content) - 1, &error));
    assert_int_equal(error.kind, ERROR_LIMIT);
    assert_string_equal(error.place, image);
    assert_non_null(strstr(error.detail, "65535"));
}

static void test_memory_loads_no_file_that_shrinks(void **state UNUSED)
{
    file_create_hole(image, 5000);
    struct error error = {0};
    assert_null(open_bounded(5001, MIB, &error));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.place, image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_reaches_the_file_at_the_end_only),
        cmocka_unit_test(test_memory_keeps_reserved_storage),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_memory_does_not_load_more_than_its_bound),
        cmocka_unit_test(test_memory_loads_no_file_that_shrinks),
    };
    return cmocka_run_group_tests_name("backends: memory", tests, directories_create, directories_remove);
}
