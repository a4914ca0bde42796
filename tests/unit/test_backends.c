/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of backend on files of many lengths: reads bring the content, writes change what they shall and
 * nothing else.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "test_backends_support.h"

#define MIB (1024u * 1024u)

static char directory[PATH_LEN];        /* on a disk: all that a file system can do */
static char memory_directory[PATH_LEN]; /* on tmpfs: no ZERO_RANGE */

static const size_t lens[] = {0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, MIB + 1};

typedef void case_function(enum backend_kind kind, const char *path, size_t len);

/* Runs `one` for every kind and length, on both file systems. */
static void for_all(case_function *one)
{
    const char *parents[] = {directory, memory_directory};
    for (unsigned int parent = 0; parent < ARRAY_COUNT(parents); parent++) {
        char path[PATH_LEN + 16];
        snprintf(path, sizeof(path), "%s/image", parents[parent]);
        for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
            for (unsigned int i = 0; i < ARRAY_COUNT(lens); i++) {
                one((enum backend_kind)kind, path, lens[i]);
            }
        }
        unlink(path);
    }
}

/* A range within len, often a small one, a block-aligned one or one that touches an end. */
static void random_range(size_t len, size_t *ret_off, size_t *ret_len)
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

/* Walks all extents: gapless, not empty, holes empty indeed (unless `content` is NULL). Returns the bytes in holes. */
static uint64_t walk_extents(struct backend *backend, const uint8_t *content, size_t len)
{
    uint64_t hole_len = 0;
    for (uint64_t off = 0; off < len;) {
        struct backend_extent found = {0};
        assert_int_equal(backend_extent(backend, off, &found), 0);
        assert_int_equal(found.off, off);
        assert_true(found.len > 0 && found.len <= len - off);
        if (found.kind == BACKEND_EXTENT_HOLE) {
            hole_len += found.len;
            for (uint64_t i = off; content != NULL && i < off + found.len; i++) {
                assert_int_equal(content[i], 0);
            }
        }
        off += found.len;
    }
    return hole_len;
}

static void find_holes(enum backend_kind kind, const char *path, size_t len)
{
    uint8_t *content = calloc(1, len + 1);
    file_create_hole(path, len);
    struct backend *backend = try_backend(kind, path, len, true);
    if (backend != NULL) {
        assert_int_equal(walk_extents(backend, content, len), len);
    }
    if (backend != NULL && len > 5) {
        pattern_fill(content + len / 2, len / 2, 5, 1);
        assert_int_equal(run_write(backend, len / 2, content + len / 2, 5), 0);
        uint64_t hole_len = walk_extents(backend, content, len);
        assert_true(hole_len < len);
        assert_true(hole_len > 0 || len < 65536);
    }
    assert_int_equal(backend_close(backend, true), 0);
    if (backend != NULL) {
        backend = open_backend(BACKEND_REGULAR, path, len, false);
        uint64_t hole_len = walk_extents(backend, content, len);
        assert_true(hole_len > 0 || len < 65536);
        backend_close(backend, false);
        assert_file_is(path, content, len);
    }
    free(content);
}

static void test_holes_are_extents(void **state UNUSED)
{
    for_all(find_holes);
}

/* Zeroes or discards the middle of a file, and checks what lies around it. */
static void clear_middle(enum backend_kind kind, const char *path, size_t len, enum backend_operation_kind operation,
                         bool may_unmap)
{
    uint8_t *content = malloc(len + 1);
    uint8_t *found = malloc(len + 1);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    struct backend *backend = try_backend(kind, path, len, true);
    size_t off = len / 4;
    size_t clear_len = len / 2;
    if (backend != NULL && clear_len > 0) {
        assert_int_equal(run_range(backend, operation, off, clear_len, may_unmap), 0);
        /* Counted before the read, as reading a hole through a mapping makes tmpfs store zeros there. */
        uint64_t hole_len = walk_extents(backend, NULL, len);
        bool shall_unmap = operation == BACKEND_DISCARD || may_unmap;
        assert_true(!shall_unmap || hole_len > 0 || len < 65536);
        assert_int_equal(run_read(backend, 0, found, len), 0);
        if (operation == BACKEND_WRITE_ZEROES) {
            memset(content + off, 0, clear_len);
        } else {
            memcpy(content + off, found + off, clear_len); /* its content may be lost, or not */
        }
        assert_memory_equal(found, content, len);
        walk_extents(backend, content, len);
    }
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(path, content, len);
    free(content);
    free(found);
}

static void zero_with_unmap(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_WRITE_ZEROES, true);
}

static void zero_in_place(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_WRITE_ZEROES, false);
}

static void discard(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_DISCARD, false);
}

static void test_write_zeroes_with_unmap(void **state UNUSED)
{
    for_all(zero_with_unmap);
}

static void test_write_zeroes_in_place(void **state UNUSED)
{
    for_all(zero_in_place);
}

static void test_discard(void **state UNUSED)
{
    for_all(discard);
}

/* A file larger than all windows of the mmap backend, read and written at random. */
static void test_large_sparse_file(void **state UNUSED)
{
    size_t len = 70 * MIB + 13;
    char path[PATH_LEN + 16];
    snprintf(path, sizeof(path), "%s/image", directory);
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        uint8_t *model = calloc(1, len);
        uint8_t *found = malloc(3 * MIB);
        file_create_hole(path, len);
        struct backend *backend = open_backend((enum backend_kind)kind, path, len, true);
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
        assert_file_is(path, model, len);
        free(model);
        free(found);
    }
    unlink(path);
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
    char path[PATH_LEN + 16];
    snprintf(path, sizeof(path), "%s/image", directory);
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    uint64_t before_kib = resident_file_kib();
    struct backend *backend = open_backend(BACKEND_MMAP, path, len, false);
    uint64_t most_kib = 0;
    for (size_t off = 0; off < len; off += MIB) {
        assert_int_equal(run_read(backend, off, content, MIB), 0);
        most_kib = max_u64(most_kib, resident_file_kib());
    }
    assert_true(most_kib < before_kib + 20 * 1024);
    assert_int_equal(backend_close(backend, true), 0);
    free(content);
    unlink(path);
}

/* As many operations as may be in flight, started without a submit in between, reaped by threes. */
static void test_operations_in_flight(void **state UNUSED)
{
    char path[PATH_LEN + 16];
    snprintf(path, sizeof(path), "%s/image", directory);
    size_t part_len = 5000;
    size_t len = part_len * BACKEND_IN_FLIGHT_MAX;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create_hole(path, len);
    struct backend *backend = open_backend(BACKEND_IO_URING, path, len, true);
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
    assert_file_is(path, content, len);
    free(content);
    unlink(path);
}

/* All kinds of operations in flight together, on ranges of their own. */
static void test_mixed_operations_in_flight(void **state UNUSED)
{
    char path[PATH_LEN + 16];
    snprintf(path, sizeof(path), "%s/image", memory_directory);
    size_t part_len = 8192;
    size_t len = part_len * 5;
    uint8_t *content = malloc(len);
    uint8_t *found = malloc(part_len);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    struct backend *backend = open_backend(BACKEND_IO_URING, path, len, true);
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
    assert_file_is(path, content, len);
    free(content);
    free(found);
    unlink(path);
}

/* Without `keep`, what memory holds does not reach the file; and storage that the file reserved stays reserved. */
static void test_memory_reaches_the_file_at_the_end_only(void **state UNUSED)
{
    char path[PATH_LEN + 16];
    snprintf(path, sizeof(path), "%s/image", directory);
    size_t len = 300001;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    for (unsigned int keep = 0; keep < 2; keep++) {
        struct backend *backend = open_backend(BACKEND_MEMORY, path, len, true);
        uint8_t *changed = malloc(len);
        pattern_fill(changed, 0, len, 2);
        assert_int_equal(run_write(backend, 0, changed, len), 0);
        assert_int_equal(run_range(backend, BACKEND_FLUSH, 0, 0, false), 0);
        assert_file_is(path, content, len);
        assert_int_equal(backend_close(backend, keep == 1), 0);
        assert_file_is(path, keep == 1 ? changed : content, len);
        free(changed);
    }
    free(content);
    unlink(path);
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

static int set_up(void **state UNUSED)
{
    directory_create(NULL, directory);
    directory_create("/dev/shm", memory_directory);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    return rmdir(directory) | rmdir(memory_directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reads_equal_the_content),
        cmocka_unit_test(test_writes_change_nothing_else),
        cmocka_unit_test(test_holes_are_extents),
        cmocka_unit_test(test_write_zeroes_with_unmap),
        cmocka_unit_test(test_write_zeroes_in_place),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_large_sparse_file),
        cmocka_unit_test(test_mapped_memory_is_bounded),
        cmocka_unit_test(test_operations_in_flight),
        cmocka_unit_test(test_mixed_operations_in_flight),
        cmocka_unit_test(test_memory_reaches_the_file_at_the_end_only),
    };
    return cmocka_run_group_tests_name("backends", tests, set_up, tear_down);
}
