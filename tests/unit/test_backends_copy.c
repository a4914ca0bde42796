/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from file to file, of every kind of backend to every other, against a model in memory. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "base/zeros.h"
#include "host/backends/backend_copy.h"
#include "host/backends/copy_zeros.h"
#include "host/backends/find_zeros.h"
#include "test_backends_support.h"

#define LEN (12u * MIB + 12345u)
#define BLOCK 4096u

static uint8_t *source_bytes;
static uint8_t *target_bytes;
static char source_path[PATH_LEN + 8];

static uint64_t stored_len(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* Data, stored zeros and holes of many lengths. */
static void source_make(uint64_t seed)
{
    memset(source_bytes, 0, LEN);
    file_create_hole(source_path, LEN);
    int fd = open(source_path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t off = 0; off < LEN;) {
        size_t len = (size_t)min_u64((1 + random_below(200)) * (random_below(3) == 0 ? 1000 : BLOCK), LEN - off);
        uint64_t what = random_below(4);
        if (what < 2) {
            pattern_fill(source_bytes + off, off, len, seed);
        }
        if (what < 3) {
            assert_int_equal(pwrite(fd, source_bytes + off, len, (off_t)off), len);
        }
        off += len;
    }
    close(fd);
}

static struct backend *target_open(enum backend_kind kind)
{
    struct backend *target = try_backend(kind, image, LEN, true);
    struct error error = {0};
    assert_true(target == NULL || backend_copy_prepare(target, &error));
    return target;
}

/* A thread for each work, and none for every third. */
static pthread_t helper_thread;
static unsigned int helper_count;
static void (*helper_work)(void *argument);

static void *helper_main(void *argument)
{
    helper_work(argument);
    return NULL;
}

static bool helper_begin(struct backend_copy_helper *helper UNUSED, void (*work)(void *argument), void *argument)
{
    if (helper_count++ % 3 == 2) {
        return false;
    }
    helper_work = work;
    assert_int_equal(pthread_create(&helper_thread, NULL, helper_main, argument), 0);
    return true;
}

static void helper_wait(struct backend_copy_helper *helper UNUSED)
{
    assert_int_equal(pthread_join(helper_thread, NULL), 0);
}

static struct backend_copy_helper test_helper = {.begin = helper_begin, .wait = helper_wait};

static struct backend_copy random_copy(const struct backend *source)
{
    struct backend_copy copy = {
        .source = source,
        .unwritten_off = UINT64_MAX,
        .store_max_len = UINT64_MAX,
        .zero_len = random_below(2) * 512 * (1 + random_below(32)),
        .helper = random_below(3) > 0 ? &test_helper : NULL,
    };
    size_t len;
    size_t off;
    random_range(LEN, &off, &len);
    copy.source_off = off;
    copy.len = max_u64(len, 1);
    copy.source_off = min_u64(copy.source_off, LEN - copy.len);
    copy.target_off = random_below(2) == 0 ? copy.source_off : random_below(LEN - copy.len + 1);
    return copy;
}

static void copy_and_compare(enum backend_kind source_kind, enum backend_kind target_kind)
{
    file_create(image, target_bytes, LEN);
    struct backend *source = try_backend(source_kind, source_path, LEN, false);
    struct backend *target = target_open(target_kind);
    for (unsigned int i = 0; source != NULL && target != NULL && i < 12; i++) {
        struct backend_copy copy = random_copy(source);
        assert_int_equal(backend_copy(target, &copy), 0);
        assert_true(copy.shared_len + copy.written_len + copy.zeros_len == copy.len);
        assert_true(copy.zero_len > 0 || copy.zeros_len == 0);
        memcpy(target_bytes + copy.target_off, source_bytes + copy.source_off, copy.len);
    }
    assert_int_equal(backend_close(source, false), 0);
    bool was_open = target != NULL;
    assert_int_equal(backend_close(target, true), 0);
    if (was_open) {
        assert_file_is(image, target_bytes, LEN);
    }
}

static void test_all_kinds(void **state UNUSED)
{
    source_make(1);
    pattern_fill(target_bytes, 0, LEN, 2);
    for (unsigned int source = 0; source < KIND_COUNT; source++) {
        for (unsigned int target = 0; target < KIND_COUNT; target++) {
            copy_and_compare((enum backend_kind)source, (enum backend_kind)target);
        }
    }
    assert_true(helper_count > 10);
}

/* A new file has no more storage than there is data, however the zeros came about, and no zeros are written to it. */
static void test_zeros_are_not_stored(void **state UNUSED)
{
    for (unsigned int known = 0; known < 2; known++) {
        memset(source_bytes, 0, LEN);
        pattern_fill(source_bytes + MIB, MIB, MIB, 7);
        file_create(source_path, source_bytes, LEN);
        file_create_hole(image, LEN);
        struct backend *source = open_backend(BACKEND_REGULAR, source_path, LEN, false);
        struct backend *target = target_open(BACKEND_REGULAR);
        struct backend_copy copy = {.source = source,
                                    .len = LEN,
                                    .zero_len = BLOCK,
                                    .unwritten_off = known == 1 ? 0 : UINT64_MAX,
                                    .store_max_len = MIB};
        assert_int_equal(backend_copy(target, &copy), 0);
        assert_int_equal(copy.shared_len + copy.written_len, copy.shared_len > 0 ? LEN : MIB);
        backend_close(source, false);
        backend_close(target, true);
        assert_file_is(image, source_bytes, LEN);
        assert_true(copy.shared_len > 0 || stored_len(image) < MIB + 65536);
    }
}

/* Without looking for zeros, everything is stored. */
static void test_zeros_are_stored_unless_wanted(void **state UNUSED)
{
    memset(source_bytes, 0, LEN);
    file_create_hole(source_path, LEN);
    file_create_hole(image, LEN);
    struct backend *source = open_backend(BACKEND_REGULAR, source_path, LEN, false);
    struct backend *target = target_open(BACKEND_REGULAR);
    struct backend_copy copy = {.source = source, .len = LEN, .unwritten_off = UINT64_MAX, .store_max_len = UINT64_MAX};
    assert_int_equal(backend_copy(target, &copy), 0);
    assert_int_equal(copy.zeros_len, 0);
    backend_close(source, false);
    backend_close(target, true);
    assert_file_is(image, source_bytes, LEN);
}

static void test_limit(void **state UNUSED)
{
    pattern_fill(source_bytes, 0, LEN, 9);
    file_create(source_path, source_bytes, LEN);
    file_create_hole(image, LEN);
    struct backend *source = open_backend(BACKEND_REGULAR, source_path, LEN, false);
    struct backend *target = target_open(BACKEND_REGULAR);
    struct backend_copy copy = {
        .source = source, .len = LEN, .zero_len = BLOCK, .store_max_len = LEN - 1, .helper = &test_helper};
    assert_int_equal(backend_copy(target, &copy), EDQUOT);
    assert_true(copy.is_over_limit && !copy.failed_at_source);
    assert_true(copy.written_len + copy.shared_len < LEN);
    copy.store_max_len = LEN;
    copy.is_over_limit = false;
    assert_int_equal(backend_copy(target, &copy), 0);
    backend_close(source, false);
    backend_close(target, true);
}

static bool count_down(void *context)
{
    unsigned int *count = context;
    return (*count)-- == 0;
}

static void test_cancelling(void **state UNUSED)
{
    source_make(3);
    file_create_hole(image, LEN);
    struct backend *source = open_backend(BACKEND_DIRECT, source_path, LEN, false);
    struct backend *target = target_open(BACKEND_REGULAR);
    unsigned int count = 3;
    struct backend_copy copy = {.source = source,
                                .source_off = 1,
                                .len = LEN - 1,
                                .zero_len = BLOCK,
                                .unwritten_off = 0,
                                .store_max_len = UINT64_MAX,
                                .is_cancelled = count_down,
                                .context = &count};
    assert_int_equal(backend_copy(target, &copy), ECANCELED);
    assert_true(copy.written_len < LEN - 1);
    backend_close(source, false);
    backend_close(target, true);
}

/* The source shrinks, to the middle of a page, after it was opened. What is gone is an error and not zeros. */
static void test_source_shrinks(void **state UNUSED)
{
    static const uint64_t ends[] = {0, 100, 5 * MIB, 5 * MIB + 100, LEN - 1};
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        for (unsigned int i = 0; kind != BACKEND_MEMORY && i < ARRAY_COUNT(ends) * 2; i++) {
            pattern_fill(source_bytes, 0, LEN, 4);
            file_create(source_path, source_bytes, LEN);
            file_create_hole(image, LEN);
            struct backend *source = open_backend((enum backend_kind)kind, source_path, LEN, false);
            struct backend *target = target_open(BACKEND_REGULAR);
            assert_int_equal(truncate(source_path, (off_t)ends[i / 2]), 0);
            struct backend_copy copy = {.source = source,
                                        .len = LEN,
                                        .zero_len = i % 2 * BLOCK,
                                        .unwritten_off = 0,
                                        .store_max_len = UINT64_MAX,
                                        .helper = &test_helper};
            assert_int_equal(backend_copy(target, &copy), EIO);
            /* Two threads do not fail in order. */
            assert_true(copy.failed_at_source && copy.failed_off <= ends[i / 2] + MIB);
            backend_close(source, false);
            backend_close(target, true);
        }
    }
}

/* A file that gets new lengths reads as zeros where it grew. */
static void test_lengths(void **state UNUSED)
{
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        pattern_fill(target_bytes, 0, LEN, 5);
        file_create(image, target_bytes, 3 * MIB);
        struct backend *backend = try_backend((enum backend_kind)kind, image, 3 * MIB, true);
        if (backend == NULL) {
            continue;
        }
        assert_int_equal(run_read(backend, 2 * MIB, source_bytes, MIB), 0);
        assert_int_equal(backend_set_len(backend, MIB + 77), 0);
        assert_int_equal(backend->len, MIB + 77);
        assert_int_equal(backend_set_len(backend, LEN), 0);
        memset(target_bytes + MIB + 77, 0, LEN - MIB - 77);
        assert_int_equal(run_read(backend, 0, source_bytes, LEN), 0);
        assert_memory_equal(source_bytes, target_bytes, LEN);
        pattern_fill(target_bytes + 10 * MIB, 0, MIB, 6);
        assert_int_equal(run_write(backend, 10 * MIB, target_bytes + 10 * MIB, MIB), 0);
        assert_int_equal(backend_set_len(backend, (uint64_t)INT64_MAX + 1), EFBIG);
        assert_int_equal(backend->len, LEN);
        assert_int_equal(backend_close(backend, true), 0);
        assert_file_is(image, target_bytes, LEN);
    }
}

/* What is shown as empty has nothing of what it had once it has a length, and everything before. */
static void test_old_content(void **state UNUSED)
{
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        struct error error = {0};
        pattern_fill(source_bytes, 0, 3 * MIB, 5);
        file_create(image, source_bytes, 3 * MIB);
        struct backend_config config = {
            .kind = (enum backend_kind)kind,
            .path = image,
            .fd = open(image, O_RDWR | O_CLOEXEC),
            .writable = true,
            .has_old_content = true,
        };
        struct backend *backend = backend_open(&config, &error);
        if (backend == NULL) {
            continue;
        }
        assert_file_is(image, source_bytes, 3 * MIB);
        assert_int_equal(backend_set_len(backend, 2 * MIB + 77), 0);
        assert_int_equal(backend_set_len(backend, 3 * MIB), 0);
        memset(target_bytes, 0, 3 * MIB);
        assert_int_equal(backend_close(backend, true), 0);
        assert_file_is(image, target_bytes, 3 * MIB);
    }
}

/* Runs, against the plainest way to find them. */
static void test_runs(void **state UNUSED)
{
    static uint8_t bytes[16 * BLOCK];
    for (unsigned int round = 0; round < 3000; round++) {
        size_t len = 1 + random_below(sizeof(bytes));
        uint64_t target_off = random_below(3 * BLOCK);
        uint64_t zero_len = 512 * (1 + random_below(40));
        for (size_t off = 0; off < len; off += 512) {
            memset(bytes + off, random_below(3) == 0, min_u64(512, len - off));
        }
        for (unsigned int i = 0; i < 3; i++) {
            size_t off;
            size_t hole_len;
            random_range(len, &off, &hole_len);
            memset(bytes + off, 0, hole_len);
        }
        for (size_t off = 0; off < len;) {
            bool is_zero = false;
            size_t run_len = copy_zeros_run(bytes + off, len - off, target_off + off, zero_len, &is_zero);
            assert_true(run_len > 0 && run_len <= len - off);
            size_t end = off + run_len;
            /* Runs end at blocks of the target; those of zeros are zeros. */
            assert_true(end == len || (target_off + end) % BLOCK == 0);
            for (size_t i = off; is_zero && i < end; i++) {
                assert_int_equal(bytes[i], 0);
            }
            /* No long run of whole blocks of zeros is data. */
            uint64_t zeros_len = 0;
            for (size_t i = off; !is_zero && i < end; i++) {
                zeros_len = bytes[i] == 0 ? zeros_len + 1 : 0;
                assert_true(zeros_len < round_up(zero_len, BLOCK) + 2 * BLOCK);
            }
            off = end;
        }
    }
}

static bool never(void *context UNUSED)
{
    return false;
}

/* Against looking at every byte; a file that shrank has no zeros behind its end. */
static void test_finding_zeros(void **state UNUSED)
{
    source_make(11);
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        struct backend *source = try_backend((enum backend_kind)kind, source_path, LEN, false);
        if (source == NULL) {
            continue;
        }
        assert_true(backend_finds_zeros(source) == (kind != BACKEND_DIRECT));
        for (uint64_t unit_len = BLOCK; unit_len <= 256 * BLOCK; unit_len *= 4) {
            static uint8_t bitmap[(LEN / BLOCK + 7) / 8];
            uint64_t off = random_below(LEN - unit_len) & ~511ull;
            unsigned int count = (unsigned int)((LEN - off) / unit_len);
            assert_true(backend_find_zeros(source, off, unit_len, count, bitmap, never, NULL));
            for (unsigned int i = 0; i < count; i++) {
                assert_int_equal(bitmap[i / 8] >> i % 8 & 1,
                                 bytes_are_zero((struct span){source_bytes + off + i * unit_len, unit_len}));
            }
        }
        backend_close(source, false);
    }
    file_create_hole(source_path, LEN);
    struct backend *source = open_backend(BACKEND_REGULAR, source_path, LEN, false);
    assert_int_equal(truncate(source_path, (off_t)(MIB + 4)), 0);
    uint8_t bits = 0;
    assert_true(backend_find_zeros(source, 0, MIB, 3, &bits, never, NULL));
    assert_int_equal(bits, 1);
    unsigned int count = 0;
    assert_false(backend_find_zeros(source, 0, MIB, 3, &bits, count_down, &count));
    backend_close(source, false);
}

static int start(void **state)
{
    source_bytes = malloc(LEN);
    target_bytes = malloc(LEN);
    int result = directories_create(state);
    snprintf(source_path, sizeof(source_path), "%s-source", image);
    return result;
}

static int stop(void **state)
{
    unlink(source_path);
    free(source_bytes);
    free(target_bytes);
    return directories_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_zeros_are_not_stored),
        cmocka_unit_test(test_zeros_are_stored_unless_wanted),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_source_shrinks),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_old_content),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_finding_zeros),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
