/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the tests of the backends. */
#include "test_backends_support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"

/* What lies between vectors. */
#define UNTOUCHED 0xa5

char directory[PATH_LEN];
char image[PATH_LEN];
char memory_image[PATH_LEN];
static char memory_directory[PATH_LEN];

int directories_create(void **state UNUSED)
{
    const char *parent = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    snprintf(directory, sizeof(directory), "%s/instar-backends-XXXXXX", parent);
    snprintf(memory_directory, sizeof(memory_directory), "/dev/shm/instar-backends-XXXXXX");
    if (mkdtemp(directory) == NULL || mkdtemp(memory_directory) == NULL) {
        return -1;
    }
    snprintf(image, sizeof(image), "%.200s/image", directory);
    snprintf(memory_image, sizeof(memory_image), "%.200s/image", memory_directory);
    return 0;
}

int directories_remove(void **state UNUSED)
{
    unlink(image);
    unlink(memory_image);
    return rmdir(directory) | rmdir(memory_directory);
}

uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

uint64_t random_below(uint64_t limit)
{
    return random_next() % limit;
}

void random_range(size_t len, size_t *ret_off, size_t *ret_len)
{
    size_t off = (size_t)random_below(len);
    size_t range_len = 1 + (size_t)random_below(len - off);
    switch (random_below(5)) {
    case 0:
        off = (size_t)round_down(off, 4096);
        range_len = (size_t)min_u64(4096 * (1 + random_below(32)), len - off);
        break;
    case 1:
        range_len = (size_t)min_u64(range_len, 1 + random_below(700));
        break;
    case 2:
        off = len - (size_t)random_below(min_u64(len, 9000)) - 1;
        range_len = len - off;
        break;
    default:
        break;
    }
    *ret_off = off;
    *ret_len = range_len;
}

void for_all(case_function *one)
{
    static const size_t lens[] = {0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, MIB + 1};
    const char *paths[] = {image, memory_image};
    for (unsigned int path = 0; path < ARRAY_COUNT(paths); path++) {
        for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
            for (unsigned int i = 0; i < ARRAY_COUNT(lens); i++) {
                one((enum backend_kind)kind, paths[path], lens[i]);
            }
        }
    }
}

void pattern_fill(uint8_t *bytes, uint64_t off, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t mixed = (off + i + seed * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
        bytes[i] = (uint8_t)((mixed >> 32) | 1); /* never zero, which is what holes are */
    }
}

void file_create(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t written = write(fd, bytes + done, len - done);
        assert_true(written > 0);
        done += (size_t)written;
    }
    assert_int_equal(close(fd), 0);
}

void file_create_hole(const char *path, uint64_t len)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    assert_int_equal(close(fd), 0);
}

uint64_t file_len(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

void assert_file_is(const char *path, const uint8_t *bytes, size_t len)
{
    assert_int_equal(file_len(path), len);
    uint8_t *found = malloc(len + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_non_null(found);
    assert_true(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t got = read(fd, found + done, len - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    assert_memory_equal(found, bytes, len);
    close(fd);
    free(found);
}

static struct backend *open_with_error(enum backend_kind kind, const char *path, uint64_t len, bool writable,
                                       struct error *error)
{
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    assert_true(fd >= 0);
    struct backend_config config = {.kind = kind, .path = path, .fd = fd, .len = len, .writable = writable};
    return backend_open(&config, error);
}

struct backend *try_backend(enum backend_kind kind, const char *path, uint64_t len, bool writable)
{
    struct error error = {0};
    struct backend *backend = open_with_error(kind, path, len, writable, &error);
    if (backend == NULL && (kind != BACKEND_DIRECT || error.kind != ERROR_UNSUPPORTED)) {
        fail_msg("%s: %s", error.place, error.detail);
    }
    return backend;
}

struct backend *open_backend(enum backend_kind kind, const char *path, uint64_t len, bool writable)
{
    struct error error = {0};
    struct backend *backend = open_with_error(kind, path, len, writable, &error);
    if (backend == NULL) {
        fail_msg("%s: %s", error.place, error.detail);
    }
    return backend;
}

int run(struct backend *backend, struct backend_operation *operation)
{
    operation->result = -1;
    if (!backend_start(backend, operation)) {
        struct backend_operation *finished = NULL;
        backend_submit(backend);
        assert_int_equal(backend_reap(backend, &finished, 1, true), 1);
        assert_ptr_equal(finished, operation);
    }
    assert_true(operation->result >= 0);
    return operation->result;
}

int run_read(struct backend *backend, uint64_t off, void *bytes, size_t len)
{
    struct iovec iov = {bytes, len};
    struct backend_operation operation = {.kind = BACKEND_READ, .off = off, .len = len, .iov = &iov, .iov_count = 1};
    return run(backend, &operation);
}

int run_write(struct backend *backend, uint64_t off, const void *bytes, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct backend_operation operation = {.kind = BACKEND_WRITE, .off = off, .len = len, .iov = &iov, .iov_count = 1};
    return run(backend, &operation);
}

int run_range(struct backend *backend, enum backend_operation_kind kind, uint64_t off, uint64_t len, bool may_unmap)
{
    struct backend_operation operation = {.kind = kind, .off = off, .len = len, .may_unmap = may_unmap};
    return run(backend, &operation);
}

void scattered_init(struct scattered *scattered, size_t len, unsigned int iov_count_max)
{
    size_t gap_max = 97;
    scattered->iov_count = 0;
    scattered->buffer_len = len + (iov_count_max + 1) * gap_max;
    scattered->buffer = malloc(scattered->buffer_len);
    assert_non_null(scattered->buffer);
    memset(scattered->buffer, UNTOUCHED, scattered->buffer_len);
    uint8_t *next = scattered->buffer + random_below(gap_max);
    while (len > 0) {
        bool is_last = scattered->iov_count + 1 == iov_count_max;
        size_t vector_len = is_last ? len : 1 + (size_t)random_below(len);
        if (!is_last && vector_len > 1 && random_below(2) == 0) {
            vector_len = 1 + (size_t)random_below(2 * len / iov_count_max + 1);
        }
        vector_len = vector_len < len ? vector_len : len;
        scattered->iov[scattered->iov_count++] = (struct iovec){next, vector_len};
        next += vector_len + random_below(gap_max);
        len -= vector_len;
    }
    /* The vectors need not lie in memory in their order. */
    for (unsigned int i = 1; i < scattered->iov_count; i++) {
        unsigned int other = (unsigned int)random_below(i + 1);
        struct iovec swapped = scattered->iov[i];
        scattered->iov[i] = scattered->iov[other];
        scattered->iov[other] = swapped;
    }
}

void scattered_set(struct scattered *scattered, const uint8_t *bytes)
{
    for (unsigned int i = 0; i < scattered->iov_count; i++) {
        memcpy(scattered->iov[i].iov_base, bytes, scattered->iov[i].iov_len);
        bytes += scattered->iov[i].iov_len;
    }
}

void scattered_assert_is(const struct scattered *scattered, const uint8_t *bytes)
{
    uint8_t *expected = malloc(scattered->buffer_len);
    assert_non_null(expected);
    memset(expected, UNTOUCHED, scattered->buffer_len);
    for (unsigned int i = 0; i < scattered->iov_count; i++) {
        memcpy(expected + ((uint8_t *)scattered->iov[i].iov_base - scattered->buffer), bytes,
               scattered->iov[i].iov_len);
        bytes += scattered->iov[i].iov_len;
    }
    assert_memory_equal(scattered->buffer, expected, scattered->buffer_len);
    free(expected);
}

void scattered_release(struct scattered *scattered)
{
    free(scattered->buffer);
}

int run_scattered(struct backend *backend, enum backend_operation_kind kind, uint64_t off, uint64_t len,
                  const struct scattered *scattered)
{
    struct backend_operation operation = {
        .kind = kind, .off = off, .len = len, .iov = scattered->iov, .iov_count = scattered->iov_count};
    return run(backend, &operation);
}
