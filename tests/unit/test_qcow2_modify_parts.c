/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a change that do no I/O: the reserve, releases, slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/qcow2/modify/qcow2_new_tables.h"
#include "guest/formats/qcow2/modify/qcow2_releases.h"
#include "guest/formats/qcow2/modify/qcow2_reserve.h"
#include "guest/formats/qcow2/modify/qcow2_slices.h"
#include "native.h"

static void test_reserve_gives_neighbours_out_in_order(void **state)
{
    (void)state;
    struct qcow2_reserve reserve = qcow2_reserve_make();
    uint64_t cluster;
    assert_true(qcow2_reserve_is_empty(&reserve));
    qcow2_reserve_fill(&reserve, 100, 8);
    assert_int_equal(qcow2_reserve_take(&reserve, 3, &cluster), 3);
    assert_int_equal(cluster, 100);
    assert_int_equal(qcow2_reserve_take(&reserve, 50, &cluster), 5);
    assert_int_equal(cluster, 103);
    assert_true(qcow2_reserve_is_empty(&reserve));
}

static void test_reserve_wants_twice_as_many_each_time(void **state)
{
    (void)state;
    struct qcow2_reserve reserve = qcow2_reserve_make();
    for (uint64_t wanted = QCOW2_RESERVE_MIN; wanted < 4 * QCOW2_RESERVE_MAX; wanted *= 2) {
        uint64_t cluster;
        assert_int_equal(reserve.wanted, wanted < QCOW2_RESERVE_MAX ? wanted : QCOW2_RESERVE_MAX);
        qcow2_reserve_fill(&reserve, 7, 1);
        assert_int_equal(qcow2_reserve_take(&reserve, 1, &cluster), 1);
    }
}

static void test_releases_join_what_follows_each_other(void **state)
{
    (void)state;
    static struct qcow2_releases releases;
    releases.count = 0;
    assert_true(qcow2_releases_add(&releases, 10, 2));
    assert_true(qcow2_releases_add(&releases, 12, 1));
    assert_true(qcow2_releases_add(&releases, 9, 1)); /* before it: another run */
    assert_true(qcow2_releases_add(&releases, 11, 1));
    assert_int_equal(releases.count, 3);
    assert_int_equal(releases.runs[0].cluster, 10);
    assert_int_equal(releases.runs[0].count, 3);
    assert_int_equal(qcow2_releases_total(&releases), 5);
}

static void test_releases_have_a_bound(void **state)
{
    (void)state;
    static struct qcow2_releases releases;
    releases.count = 0;
    for (uint64_t i = 0; i < QCOW2_RELEASE_MAX; i++) {
        assert_true(qcow2_releases_have_room(&releases, 1));
        assert_true(qcow2_releases_add(&releases, 2 * i, 1));
    }
    assert_false(qcow2_releases_have_room(&releases, 1));
    assert_true(qcow2_releases_have_room(&releases, 0));
    assert_false(qcow2_releases_add(&releases, 1000000, 1));
    assert_true(qcow2_releases_add(&releases, 2 * QCOW2_RELEASE_MAX - 1, 4)); /* the last run goes on */
    assert_int_equal(releases.count, QCOW2_RELEASE_MAX);
}

static void expect_run(const struct qcow2_releases *releases, uint32_t index, uint64_t cluster, uint64_t count)
{
    assert_true(index < releases->count);
    assert_int_equal(releases->runs[index].cluster, cluster);
    assert_int_equal(releases->runs[index].count, count);
}

static void test_releases_are_taken_out_again(void **state)
{
    (void)state;
    static struct qcow2_releases releases;
    releases.count = 0;
    assert_true(qcow2_releases_add(&releases, 10, 5));
    assert_true(qcow2_releases_add(&releases, 30, 2));
    qcow2_releases_remove(&releases, 12, 1); /* in the middle */
    expect_run(&releases, 0, 10, 2);
    expect_run(&releases, 1, 30, 2);
    expect_run(&releases, 2, 13, 2);
    qcow2_releases_remove(&releases, 13, 1); /* at the start */
    expect_run(&releases, 2, 14, 1);
    qcow2_releases_remove(&releases, 31, 1); /* at the end */
    expect_run(&releases, 1, 30, 1);
    qcow2_releases_remove(&releases, 10, 2); /* all of a run */
    assert_int_equal(releases.count, 2);
    expect_run(&releases, 0, 14, 1);
    qcow2_releases_remove(&releases, 14, 2); /* more than there is */
    qcow2_releases_remove(&releases, 99, 1);
    assert_int_equal(releases.count, 2);
}

static void fill_next(struct qcow2_slices *slices, uint64_t off)
{
    struct qcow2_slice *slice = qcow2_slices_oldest(slices);
    qcow2_slices_fill(slices, slice, off);
}

static void test_slices_replace_the_one_that_was_used_the_longest_time_ago(void **state)
{
    (void)state;
    struct qcow2_slices slices;
    assert_true(qcow2_slices_init(&slices, native_arena(), 4096));
    assert_int_equal(slices.len, 4096);
    for (uint64_t i = 1; i <= QCOW2_SLICE_COUNT; i++) {
        fill_next(&slices, i * 4096);
    }
    assert_non_null(qcow2_slices_find(&slices, 4096));
    fill_next(&slices, 1 << 20);
    assert_non_null(qcow2_slices_find(&slices, 4096));
    assert_non_null(qcow2_slices_find(&slices, 1 << 20));
    assert_null(qcow2_slices_find(&slices, 2 * 4096));
}

static void test_slices_forget_those_of_one_table(void **state)
{
    (void)state;
    struct qcow2_slices slices;
    assert_true(qcow2_slices_init(&slices, native_arena(), 2u << 20));
    assert_int_equal(slices.len, QCOW2_SLICE_LEN_MAX);
    fill_next(&slices, 2u << 20);
    fill_next(&slices, (4u << 20) - QCOW2_SLICE_LEN_MAX);
    fill_next(&slices, 4u << 20);
    fill_next(&slices, (2u << 20) - QCOW2_SLICE_LEN_MAX);
    qcow2_slices_forget(&slices, 2u << 20, 2u << 20);
    assert_null(qcow2_slices_find(&slices, 2u << 20));
    assert_null(qcow2_slices_find(&slices, (4u << 20) - QCOW2_SLICE_LEN_MAX));
    assert_non_null(qcow2_slices_find(&slices, 4u << 20));
    assert_non_null(qcow2_slices_find(&slices, (2u << 20) - QCOW2_SLICE_LEN_MAX));
}

static int start(void **state)
{
    (void)state;
    native_start(&(struct native_setup){0});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    native_stop();
    return 0;
}

static void test_new_tables_come_out_from_the_last_one_on(void **state)
{
    (void)state;
    static struct qcow2_new_tables tables;
    struct qcow2_new_table table;
    tables = (struct qcow2_new_tables){0};
    assert_false(qcow2_new_tables_take(&tables, &table));
    qcow2_new_tables_add(&tables, 1, 512, 0);
    qcow2_new_tables_release_old(&tables);
    qcow2_new_tables_add(&tables, 2, 1024, 4096);
    assert_true(qcow2_new_tables_take(&tables, &table));
    assert_int_equal(table.index, 2);
    assert_int_equal(table.off, 1024);
    assert_int_equal(table.old_entry, 4096);
    assert_false(table.is_old_released);
    assert_true(qcow2_new_tables_take(&tables, &table));
    assert_int_equal(table.index, 1);
    assert_true(table.is_old_released);
    assert_false(qcow2_new_tables_take(&tables, &table));
}

/* Of more than there is room for, the first ones are not known any more. */
static void test_new_tables_have_a_bound(void **state)
{
    (void)state;
    static struct qcow2_new_tables tables;
    struct qcow2_new_table table;
    tables = (struct qcow2_new_tables){0};
    for (uint64_t i = 0; i < 2 * QCOW2_NEW_TABLE_MAX + 3; i++) {
        qcow2_new_tables_add(&tables, i, i * 512, 0);
    }
    for (uint64_t i = 0; i < QCOW2_NEW_TABLE_MAX; i++) {
        assert_true(qcow2_new_tables_take(&tables, &table));
        assert_int_equal(table.index, 2 * QCOW2_NEW_TABLE_MAX + 2 - i);
    }
    assert_false(qcow2_new_tables_take(&tables, &table));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve_gives_neighbours_out_in_order),
        cmocka_unit_test(test_reserve_wants_twice_as_many_each_time),
        cmocka_unit_test(test_releases_join_what_follows_each_other),
        cmocka_unit_test(test_releases_have_a_bound),
        cmocka_unit_test(test_releases_are_taken_out_again),
        cmocka_unit_test_setup_teardown(test_slices_replace_the_one_that_was_used_the_longest_time_ago, start, stop),
        cmocka_unit_test_setup_teardown(test_slices_forget_those_of_one_table, start, stop),
        cmocka_unit_test(test_new_tables_come_out_from_the_last_one_on),
        cmocka_unit_test(test_new_tables_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
