/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/operations/job/progress.h"

static void expect_next(struct progress *progress, uint64_t sectors, uint64_t bytes)
{
    struct progress_report report;
    assert_true(progress_next(progress, &report));
    assert_int_equal(report.sectors, sectors);
    assert_int_equal(report.bytes, bytes);
}

static void expect_none(struct progress *progress)
{
    struct progress_report report;
    assert_false(progress_next(progress, &report));
}

static void every_10_sectors_are_reported_once_and_in_order(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 35 * 512, 512, PROGRESS_EVERY_10_SECTORS);
    expect_none(&progress);
    progress_add(&progress, 10 * 512 - 1);
    expect_none(&progress);
    progress_add(&progress, 1);
    expect_next(&progress, 10, 5120);
    expect_none(&progress);
    progress_add(&progress, 25 * 512);
    expect_next(&progress, 20, 10240);
    expect_next(&progress, 30, 15360);
    expect_none(&progress);
}

static void partial_last_sector_counts_as_one_when_all_is_done(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 9 * 4096 + 1, 4096, PROGRESS_EVERY_10_SECTORS);
    assert_int_equal(progress.total_sectors, 10);
    progress_add(&progress, 9 * 4096);
    expect_none(&progress);
    progress_add(&progress, 1);
    expect_next(&progress, 10, 9 * 4096 + 1);
    expect_none(&progress);
}

static void every_threshold_is_reported(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 1000 * 512, 512, 10);
    uint64_t expected = 100;
    for (uint64_t done = 1; done <= 1000; done++) {
        progress_add(&progress, 512);
        if (done == expected) {
            expect_next(&progress, expected, expected * 512);
            expected += 100;
        }
        expect_none(&progress);
    }
    assert_int_equal(expected, 1100);
}

static void thresholds_crossed_at_once_are_reported_one_by_one(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 200 * 512, 512, 30);
    progress_add(&progress, 200 * 512);
    expect_next(&progress, 60, 60 * 512);
    expect_next(&progress, 120, 120 * 512);
    expect_next(&progress, 180, 180 * 512);
    expect_none(&progress);
}

static void no_count_is_reported_twice(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 3 * 512, 512, 1);
    progress_add(&progress, 3 * 512);
    expect_next(&progress, 1, 512);
    expect_next(&progress, 2, 1024);
    expect_next(&progress, 3, 1536);
    expect_none(&progress);
}

static void thresholds_between_sectors_wait_for_the_next_sector(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 15 * 512, 512, 50);
    progress_add(&progress, 7 * 512);
    expect_none(&progress);
    progress_add(&progress, 512);
    expect_next(&progress, 8, 8 * 512);
    progress_add(&progress, 7 * 512);
    expect_next(&progress, 15, 15 * 512);
    expect_none(&progress);
}

static void nothing_is_reported_on_100_percent(void **state)
{
    (void)state;
    struct progress progress;
    progress_init(&progress, 1000 * 512, 512, PROGRESS_NEVER);
    progress_add(&progress, 1000 * 512);
    expect_none(&progress);
}

static void empty_input_reports_nothing(void **state)
{
    (void)state;
    for (uint32_t percent = 0; percent <= 100; percent++) {
        struct progress progress;
        progress_init(&progress, 0, 512, percent);
        expect_none(&progress);
        progress_add(&progress, 512);
        expect_none(&progress);
    }
}

static void largest_input_does_not_overflow(void **state)
{
    (void)state;
    struct progress progress;
    const uint64_t len = INT64_MAX - 511;
    progress_init(&progress, len, 512, 99);
    progress_add(&progress, len - 512);
    struct progress_report report;
    assert_true(progress_next(&progress, &report));
    assert_true(report.bytes > len / 100 * 98 && report.bytes < len);
    expect_none(&progress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_10_sectors_are_reported_once_and_in_order),
        cmocka_unit_test(partial_last_sector_counts_as_one_when_all_is_done),
        cmocka_unit_test(every_threshold_is_reported),
        cmocka_unit_test(thresholds_crossed_at_once_are_reported_one_by_one),
        cmocka_unit_test(no_count_is_reported_twice),
        cmocka_unit_test(thresholds_between_sectors_wait_for_the_next_sector),
        cmocka_unit_test(nothing_is_reported_on_100_percent),
        cmocka_unit_test(empty_input_reports_nothing),
        cmocka_unit_test(largest_input_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
