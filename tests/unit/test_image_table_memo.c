/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of tables: nothing else than what was put there, and to all who ask the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/image/tables/table_memo.h"
#include "guest/operations/reader/known_stretches.h"

static struct table_memo memo;

static int enter(void **state)
{
    (void)state;
    memset(&memo, 0, sizeof(memo));
    return 0;
}

static void test_finds_what_was_put(void **state)
{
    (void)state;
    bool is_new;
    for (uint64_t i = 0; i < 1000; i++) {
        struct table_memo_entry *entry = table_memo_find(&memo, i << 16, i / 7 << 16, &is_new);
        assert_non_null(entry);
        assert_true(is_new);
        entry->value = i;
    }
    for (uint64_t i = 0; i < 1000; i++) {
        struct table_memo_entry *entry = table_memo_find(&memo, i << 16, i / 7 << 16, &is_new);
        assert_non_null(entry);
        assert_false(is_new);
        assert_int_equal(entry->value, i);
    }
}

/* The order counts: a pair is not its reverse, nor one of the two twice. */
static void test_pairs(void **state)
{
    (void)state;
    static const uint64_t pairs[][2] = {{1, 2}, {2, 1},          {1, 1},          {2, 2},
                                        {0, 0}, {0, TABLE_NONE}, {1ull << 32, 0}, {0, 1}};
    bool is_new;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_non_null(table_memo_find(&memo, pairs[i][0], pairs[i][1], &is_new));
        assert_true(is_new);
    }
}

/* What found no room never finds any; what is there stays. */
static void test_full(void **state)
{
    (void)state;
    bool is_new;
    uint64_t count = 0;
    while (table_memo_find(&memo, count, 0, &is_new) != NULL) {
        count++;
    }
    assert_int_equal(count, TABLE_MEMO_COUNT / 4 * 3);
    assert_null(table_memo_find(&memo, count, 0, &is_new));
    assert_false(is_new);
    assert_null(table_memo_find(&memo, count + 1, 0, &is_new));
    for (uint64_t i = 0; i < count; i++) {
        assert_non_null(table_memo_find(&memo, i, 0, &is_new));
        assert_false(is_new);
    }
}

/* A disk of stretches of 16 bytes; `tables` has one for each. */
static bool table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    (void)error;
    const uint64_t *tables = image->state;
    *ret_stretch = (struct table_stretch){16, tables[voff / 16]};
    return true;
}

static const struct format stretched_format = {.name = "stretched", .table_at = table_at};

static struct known_stretches known;

static void known_make(struct image *first, struct image *second)
{
    memset(&known, 0, sizeof(known));
    known.images[0] = first;
    known.images[1] = second;
}

/* Known is a stretch both of whose tables were met in one stretch in front of it; whoever asks later, or first. */
static void test_known_stretches(void **state)
{
    (void)state;
    static uint64_t tables[2][6] = {{5, 5, 6, 5, 5, 5}, {8, 9, 8, 8, TABLE_NONE, 8}};
    static const bool expected[] = {false, false, false, true, false, false};
    struct image images[2];
    for (unsigned int i = 0; i < 2; i++) {
        images[i] = (struct image){.format = &stretched_format, .state = tables[i], .virtual_len = 6 * 16 - 1 + i};
    }
    known_make(&images[0], &images[1]);
    for (unsigned int round = 0; round < 3; round++) { /* three readers */
        for (uint64_t i = 0; i < 6; i++) {
            struct known_stretch stretch = known_stretches_look(&known, i * 16 + round);
            assert_int_equal(stretch.is_known, expected[i]);
            /* The last one is cut off in one of the images: nobody can say. */
            assert_true(stretch.len == (i >= 4 ? UINT64_MAX : 16 - round));
        }
    }
}

static void test_images_with_something_behind(void **state)
{
    (void)state;
    static uint64_t tables[] = {5, 5};
    struct image behind = {.format = &stretched_format, .state = tables, .virtual_len = 32};
    struct image image = behind;
    image.backing = &behind;
    known_make(&image, &behind);
    for (uint64_t i = 0; i < 2; i++) {
        assert_false(known_stretches_look(&known, i * 16).is_known);
    }
    known_make(&behind, &behind);
    assert_false(known_stretches_look(&known, 0).is_known);
    assert_true(known_stretches_look(&known, 16).is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finds_what_was_put, enter),
        cmocka_unit_test_setup(test_pairs, enter),
        cmocka_unit_test_setup(test_full, enter),
        cmocka_unit_test(test_known_stretches),
        cmocka_unit_test(test_images_with_something_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
