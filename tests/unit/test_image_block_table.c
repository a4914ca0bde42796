/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of block addresses: every width and byte order, entries that straddle blocks of the cache, runs, ends. */
#include "guest/image/tables/block_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "native.h"

#define BYTES_LEN (2u * CACHE_BLOCK_LEN)

static uint8_t bytes[BYTES_LEN];
static struct file *file;
static struct cache *cache;

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + i / 251);
    }
    native_start(&(struct native_setup){0});
    file = native_file_of_bytes(bytes, sizeof(bytes), sizeof(bytes));
    cache = native_environment()->cache;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    native_stop();
    return 0;
}

static bool is_little(enum block_table_word word)
{
    return word == BLOCK_TABLE_LE32 || word == BLOCK_TABLE_LE64;
}

/* What stands at a place, byte by byte. */
static uint64_t value_at(uint64_t off, enum block_table_word word)
{
    uint32_t len = block_table_word_len(word);
    uint64_t value = 0;
    for (uint32_t i = 0; i < len; i++) {
        uint64_t place = off + (is_little(word) ? len - 1 - i : i);
        value = value << 8 | (place < BYTES_LEN ? bytes[place] : 0);
    }
    return value;
}

static void put(uint64_t off, enum block_table_word word, uint64_t value)
{
    uint32_t len = block_table_word_len(word);
    for (uint32_t i = 0; i < len; i++) {
        uint64_t shift = 8 * (is_little(word) ? i : len - 1 - i);
        bytes[off + i] = (uint8_t)(value >> shift);
    }
}

static const enum block_table_word words[] = {BLOCK_TABLE_LE32, BLOCK_TABLE_LE64, BLOCK_TABLE_BE32, BLOCK_TABLE_BE64};

/* At odd places, so that entries straddle the blocks of the cache, and up to behind the end of the file. */
static void an_entry_is_what_the_file_has(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct block_table table = {.file = file, .off = CACHE_BLOCK_LEN - 61, .count = 20000, .word = words[i]};
        for (uint64_t index = 0; index < table.count; index += index < 100 ? 1 : 997) {
            struct error error = {0};
            uint64_t value, run_value, count;
            uint64_t expected = value_at(table.off + index * block_table_word_len(words[i]), words[i]);
            assert_true(block_table_read(cache, &table, index, &value, &error));
            assert_true(block_table_run(cache, &table, index, 1, 0, &run_value, &count, &error));
            assert_int_equal(value, expected);
            assert_int_equal(run_value, expected);
            assert_int_equal(count, 1);
        }
    }
}

/* Sums of the counts that calls give, from an entry on, as long as the run goes on. */
static uint64_t run_count(const struct block_table *table, uint64_t index, uint64_t step)
{
    uint64_t total = 0, first = 0;
    while (index + total < table->count) {
        struct error error = {0};
        uint64_t value, count;
        assert_true(block_table_run(cache, table, index + total, UINT64_MAX, step, &value, &count, &error));
        assert_true(count >= 1 && count <= table->count - index - total);
        if (total > 0 && value != first + total * step) {
            break;
        }
        first = total == 0 ? value : first;
        total += count;
    }
    return total;
}

static void a_run_ends_where_entries_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint32_t len = block_table_word_len(words[i]);
        struct block_table table = {
            .file = file, .off = CACHE_BLOCK_LEN - 50 * len + 3, .count = 400, .word = words[i]};
        uint64_t old_first = table.off;
        for (uint64_t k = 0; k < 400; k++) {
            put(old_first + k * len, words[i], k < 300 ? 0x80000000u + k * 0x10 : 7);
        }
        cache_update(cache, file, table.off, (struct span){bytes + table.off, 400 * len});
        assert_int_equal(run_count(&table, 0, 0x10), 300);
        assert_int_equal(run_count(&table, 0, 0), 1);
        assert_int_equal(run_count(&table, 299, 0x10), 1);
        assert_int_equal(run_count(&table, 300, 0), 100);
    }
}

static void an_entry_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct error error = {0};
    uint64_t value, count;
    struct block_table table = {.file = file, .off = 0, .count = 3, .word = BLOCK_TABLE_LE32};
    assert_false(block_table_read(cache, &table, 3, &value, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    error = (struct error){0};
    table = (struct block_table){.file = file, .off = UINT64_MAX - 8, .count = UINT64_MAX, .word = BLOCK_TABLE_BE64};
    assert_false(block_table_run(cache, &table, 5, 1, 0, &value, &count, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
    error = (struct error){0};
    assert_false(block_table_read(cache, &table, UINT64_MAX / 4, &value, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
}

static void a_table_lies_within_its_file(void **state)
{
    (void)state;
    struct {
        uint64_t off, count;
        bool is_sound;
    } cases[] = {
        {0, BYTES_LEN / 4, true},  {4, BYTES_LEN / 4, false},      {BYTES_LEN, 0, true},
        {BYTES_LEN + 1, 0, false}, {0, UINT64_MAX / 4 + 1, false}, /* the length in bytes wraps to 0 */
        {UINT64_MAX, 1, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        struct block_table table = {
            .file = file, .off = cases[i].off, .count = cases[i].count, .word = BLOCK_TABLE_LE32};
        assert_int_equal(block_table_check(&table, "the table", &error), cases[i].is_sound);
        assert_int_equal(error.kind, cases[i].is_sound ? ERROR_NONE : ERROR_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_is_what_the_file_has, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_ends_where_entries_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_entry_that_is_not_there_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_lies_within_its_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
