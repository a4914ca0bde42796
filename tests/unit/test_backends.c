/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of backend on files of many lengths: reads bring the content, writes change what they shall and
 * nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "test_backends_support.h"

static unsigned int random_iov_count(void)
{
    static const unsigned int counts[] = {1, 2, 7, 64, BACKEND_IOV_MAX};
    return counts[random_below(ARRAY_COUNT(counts))];
}

static void read_all_over(enum backend_kind kind, const char *path, size_t len)
{
    uint8_t *content = malloc(len + 1);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    struct backend *backend = try_backend(kind, path, len, false);
    for (unsigned int i = 0; backend != NULL && i < 60 && len > 0; i++) {
        size_t off;
        size_t range_len;
        random_range(len, &off, &range_len);
        if (i == 0) {
            off = 0;
            range_len = len;
        }
        struct scattered scattered;
        scattered_init(&scattered, range_len, random_iov_count());
        assert_int_equal(run_scattered(backend, BACKEND_READ, off, range_len, &scattered), 0);
        scattered_assert_is(&scattered, content + off);
        scattered_release(&scattered);
    }
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(path, content, len);
    free(content);
}

static void test_reads_equal_the_content(void **state UNUSED)
{
    for_all(read_all_over);
}

/* One random change to the backend and to its model. */
static void change(struct backend *backend, uint8_t *model, size_t len, uint64_t seed)
{
    size_t off;
    size_t range_len;
    random_range(len, &off, &range_len);
    uint64_t choice = random_below(10);
    if (choice == 0) {
        assert_int_equal(run_range(backend, BACKEND_WRITE_ZEROES, off, range_len, random_below(2) == 0), 0);
        memset(model + off, 0, range_len);
    } else if (choice == 1) {
        assert_int_equal(run_range(backend, BACKEND_FLUSH, 0, 0, false), 0);
    } else {
        struct scattered scattered;
        scattered_init(&scattered, range_len, random_iov_count());
        pattern_fill(model + off, off, range_len, seed);
        scattered_set(&scattered, model + off);
        assert_int_equal(run_scattered(backend, BACKEND_WRITE, off, range_len, &scattered), 0);
        scattered_assert_is(&scattered, model + off);
        scattered_release(&scattered);
    }
}

static void write_all_over(enum backend_kind kind, const char *path, size_t len)
{
    uint8_t *model = malloc(len + 1);
    uint8_t *found = malloc(len + 1);
    pattern_fill(model, 0, len, 1);
    file_create(path, model, len);
    struct backend *backend = try_backend(kind, path, len, true);
    for (unsigned int i = 0; backend != NULL && i < 60 && len > 0; i++) {
        change(backend, model, len, i + 2);
        size_t off;
        size_t range_len;
        random_range(len, &off, &range_len);
        assert_int_equal(run_read(backend, off, found, range_len), 0);
        assert_memory_equal(found, model + off, range_len);
    }
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(path, model, len);
    free(model);
    free(found);
}

static void test_writes_change_nothing_else(void **state UNUSED)
{
    for_all(write_all_over);
}

/* A file larger than all windows of the mmap backend, read and written at random. */
static void test_large_sparse_file(void **state UNUSED)
{
    size_t len = 70 * MIB + 13;
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        uint8_t *model = calloc(1, len);
        uint8_t *found = malloc(3 * MIB);
        file_create_hole(image, len);
        struct backend *backend = open_backend((enum backend_kind)kind, image, len, true);
        for (unsigned int i = 0; i < 60; i++) {
            size_t off = (size_t)random_below(len);
            size_t part_len = (size_t)min_u64(1 + random_below(3 * MIB), len - off);
            if (i % 2 == 0) {
                pattern_fill(model + off, off, part_len, i);
                assert_int_equal(run_write(backend, off, model + off, part_len), 0);
            }
            off = (size_t)random_below(len);
            part_len = (size_t)min_u64(1 + random_below(3 * MIB), len - off);
            assert_int_equal(run_read(backend, off, found, part_len), 0);
            assert_memory_equal(found, model + off, part_len);
        }
        assert_int_equal(backend_close(backend, true), 0);
        assert_file_is(image, model, len);
        free(model);
        free(found);
    }
    unlink(image);
}

static uint64_t resident_file_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    assert_non_null(status);
    char line[256];
    uint64_t kib = 0;
    while (fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "RssFile:", 8) == 0) {
            kib = strtoull(line + 8, NULL, 10);
        }
    }
    fclose(status);
    return kib;
}

static void test_mapped_memory_is_bounded(void **state UNUSED)
{
    size_t len = 64 * MIB;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create(image, content, len);
    uint64_t before_kib = resident_file_kib();
    struct backend *backend = open_backend(BACKEND_MMAP, image, len, false);
    uint64_t most_kib = 0;
    for (size_t off = 0; off < len; off += MIB) {
        assert_int_equal(run_read(backend, off, content, MIB), 0);
        most_kib = max_u64(most_kib, resident_file_kib());
    }
    assert_true(most_kib < before_kib + 20 * 1024);
    assert_int_equal(backend_close(backend, true), 0);
    free(content);
    unlink(image);
}

/*
 * More in one operation than the kernel moves in one call (2 GiB less a page), its rest in more vectors than
 * io_uring repeats at once. On tmpfs, where reading holes stores nothing; mmap would, and makes no such calls.
 */
static void test_transfers_that_fall_short(void **state UNUSED)
{
    static const enum backend_kind kinds[] = {BACKEND_REGULAR, BACKEND_DIRECT, BACKEND_IO_URING, BACKEND_MEMORY};
    uint64_t hole_len = 2048ull * MIB;
    uint8_t content[65536];
    uint8_t found[65536];
    uint8_t *scratch = aligned_alloc(4096, 4 * MIB);
    pattern_fill(content, 0, sizeof(content), 1);
    file_create_hole(memory_image, hole_len);
    struct backend *backend = open_backend(BACKEND_REGULAR, memory_image, hole_len + sizeof(content), true);
    assert_int_equal(run_write(backend, hole_len, content, sizeof(content)), 0);
    backend_close(backend, true);

    struct iovec iov[576];
    for (unsigned int i = 0; i < 512; i++) {
        iov[i] = (struct iovec){scratch, 4 * MIB};
    }
    for (unsigned int i = 0; i < 64; i++) {
        iov[512 + i] = (struct iovec){found + 1024 * i, 1024};
    }
    struct backend_operation operation = {
        .kind = BACKEND_READ, .off = 0, .len = hole_len + sizeof(content), .iov = iov, .iov_count = 576};
    for (unsigned int i = 0; i < ARRAY_COUNT(kinds); i++) {
        memset(found, 0, sizeof(found));
        backend = try_backend(kinds[i], memory_image, operation.len, false);
        if (backend != NULL) {
            assert_int_equal(run(backend, &operation), 0);
            assert_memory_equal(found, content, sizeof(content));
        }
        backend_close(backend, true);
    }
    free(scratch);
    unlink(memory_image);
}

/* Whoever waits for the file's lock gets it as soon as the backend is closed. */
static void test_close_gives_up_locks(void **state UNUSED)
{
    file_create_hole(image, 5000);
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        struct backend *backend = open_backend((enum backend_kind)kind, image, 5000, true);
        int other = open(image, O_RDWR | O_CLOEXEC);
        uint8_t byte = 1;
        assert_int_equal(fcntl(backend->fd, F_OFD_SETLK, &lock), 0);
        assert_int_equal(run_write(backend, 4999, &byte, 1), 0);
        assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), -1);
        assert_int_equal(backend_close(backend, true), 0);
        assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), 0);
        close(other);
    }
    unlink(image);
}

static void test_names(void **state UNUSED)
{
    const char *names[] = {"regular", "direct", "mmap", "io-uring", "memory"};
    for (unsigned int i = 0; i < KIND_COUNT; i++) {
        enum backend_kind kind = (enum backend_kind)((i + 1) % KIND_COUNT);
        assert_string_equal(backend_kind_name((enum backend_kind)i), names[i]);
        assert_true(backend_kind_parse(names[i], &kind));
        assert_int_equal(kind, i);
    }
    enum backend_kind kind = BACKEND_MMAP;
    assert_false(backend_kind_parse("", &kind));
    assert_false(backend_kind_parse("Regular", &kind));
    assert_int_equal(kind, BACKEND_MMAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_equal_the_content),
        cmocka_unit_test(test_writes_change_nothing_else),
        cmocka_unit_test(test_large_sparse_file),
        cmocka_unit_test(test_mapped_memory_is_bounded),
        cmocka_unit_test(test_transfers_that_fall_short),
        cmocka_unit_test(test_close_gives_up_locks),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("backends", tests, directories_create, directories_remove);
}
