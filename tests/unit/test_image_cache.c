/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata cache: what it returns is what the file has, and it reads neither too little at once nor too much. */
#include "guest/image/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "native.h"

#define BYTES_LEN (3u * CACHE_BLOCK_LEN + 12345u)
#define BLOCK_COUNT 4u

static uint8_t bytes[2][BYTES_LEN];

static int set_up(void **state)
{
    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (&bytes[0][0])[i] = (uint8_t)rand();
    }
    native_start(&(struct native_setup){0});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    native_stop();
    return 0;
}

/* What byte `off` of a file reads as. */
static uint8_t byte_at(int file, uint64_t off)
{
    return off < BYTES_LEN ? bytes[file][off] : 0;
}

static uint64_t be_at(int file, uint64_t off, int len)
{
    uint64_t value = 0;
    for (int i = 0; i < len; i++) {
        value = value << 8 | byte_at(file, off + (uint64_t)i);
    }
    return value;
}

static void check_read(struct cache *cache, struct file *const *files, int which, uint64_t off)
{
    static uint8_t target[2 * CACHE_BLOCK_LEN];
    struct error error = {0};
    size_t len = (size_t)rand() % sizeof(target);
    assert_true(cache_read(cache, files[which], off, target, len, &error));
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(target[i], byte_at(which, off + i));
    }
}

static void check_view(struct cache *cache, struct file *const *files, int which, uint64_t off)
{
    struct error error = {0};
    struct span view;
    uint64_t len = (uint64_t)rand() % (2 * CACHE_BLOCK_LEN);
    assert_true(cache_view(cache, files[which], off, len, &view, &error));
    uint64_t block_left = CACHE_BLOCK_LEN - off % CACHE_BLOCK_LEN;
    uint64_t wanted = len == 0 ? 1 : len;
    assert_int_equal(view.len, wanted < block_left ? wanted : block_left);
    for (size_t i = 0; i < view.len; i++) {
        assert_int_equal(view.data[i], byte_at(which, off + i));
    }
}

static void check_words(struct cache *cache, struct file *const *files, int which, uint64_t off)
{
    struct error error = {0};
    uint64_t word64;
    uint32_t word32;
    assert_true(cache_read_be64(cache, files[which], off, &word64, &error));
    assert_int_equal(word64, be_at(which, off, 8));
    assert_true(cache_read_be32(cache, files[which], off, &word32, &error));
    assert_int_equal(word32, be_at(which, off, 4));
}

static void any_access_in_any_order_sees_the_files(void **state)
{
    (void)state;
    struct cache *cache = cache_make(native_arena(), BLOCK_COUNT);
    assert_non_null(cache);
    struct file *files[] = {
        native_file_of_bytes(bytes[0], BYTES_LEN, BYTES_LEN),
        native_file_of_bytes(bytes[1], BYTES_LEN, BYTES_LEN),
    };
    for (int round = 0; round < 20000; round++) {
        int which = rand() % 2;
        uint64_t off = (uint64_t)rand() % (BYTES_LEN + 2 * CACHE_BLOCK_LEN); /* also behind the end */
        switch (rand() % 16) {
        case 0:
            check_read(cache, files, which, off);
            break;
        case 1:
            check_view(cache, files, which, off);
            break;
        default:
            check_words(cache, files, which, off & ~(rand() % 4 == 0 ? 0ull : 7ull));
            break;
        }
    }
}

static void a_word_reads_little_and_a_table_few_times(void **state)
{
    (void)state;
    struct cache *cache = cache_make(native_arena(), BLOCK_COUNT);
    struct file *file = native_file_of_bytes(bytes[0], BYTES_LEN, BYTES_LEN);
    struct error error = {0};
    uint64_t value;
    uint64_t before = native_file_reads();
    for (uint64_t off = 0; off < CACHE_BLOCK_LEN; off += 8) {
        assert_true(cache_read_be64(cache, file, off, &value, &error));
    }
    assert_in_range(native_file_reads() - before, 2, 5);

    before = native_file_reads();
    struct span view;
    assert_true(cache_view(cache, file, CACHE_BLOCK_LEN, CACHE_BLOCK_LEN, &view, &error));
    assert_int_equal(native_file_reads() - before, 1);
    for (uint64_t off = 0; off < 2 * CACHE_BLOCK_LEN; off += 8) {
        assert_true(cache_read_be64(cache, file, off, &value, &error));
    }
    assert_int_equal(native_file_reads() - before, 1);
}

static void the_oldest_block_goes_first(void **state)
{
    (void)state;
    struct cache *cache = cache_make(native_arena(), BLOCK_COUNT);
    struct file *file = native_file_of_bytes(bytes[0], BYTES_LEN, 1ull << 40);
    struct error error = {0};
    uint64_t value;
    for (uint64_t i = 0; i < BLOCK_COUNT; i++) {
        assert_true(cache_read_be64(cache, file, i * CACHE_BLOCK_LEN, &value, &error));
    }
    assert_true(cache_read_be64(cache, file, 0, &value, &error)); /* now block 1 is the oldest */
    assert_true(cache_read_be64(cache, file, 100ull * CACHE_BLOCK_LEN, &value, &error));
    uint64_t before = native_file_reads();
    assert_true(cache_read_be64(cache, file, 0, &value, &error));
    assert_true(cache_read_be64(cache, file, 2ull * CACHE_BLOCK_LEN, &value, &error));
    assert_int_equal(native_file_reads() - before, 0);
    assert_true(cache_read_be64(cache, file, 1ull * CACHE_BLOCK_LEN, &value, &error));
    assert_int_equal(native_file_reads() - before, 1);
    assert_int_equal(value, be_at(0, CACHE_BLOCK_LEN, 8));
}

static void too_few_blocks_or_too_little_memory_make_no_cache(void **state)
{
    (void)state;
    assert_null(cache_make(native_arena(), 3));
    assert_null(cache_make(native_arena(), UINT32_MAX));
    assert_null(cache_make(native_arena(), 2048));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_access_in_any_order_sees_the_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_reads_little_and_a_table_few_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_block_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_few_blocks_or_too_little_memory_make_no_cache, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
