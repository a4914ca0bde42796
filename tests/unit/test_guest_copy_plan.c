/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/operations/copy/copy_plan.h"

#define DATA_LEN 0x10000u
#define HOLE_LEN 0x40000u

static void expect_piece(struct copy_plan *plan, enum copy_kind kind, uint64_t off, uint64_t len)
{
    struct copy_piece piece;
    assert_true(copy_plan_next(plan, DATA_LEN, HOLE_LEN, &piece));
    assert_int_equal(piece.kind, kind);
    assert_int_equal(piece.off, off);
    assert_int_equal(piece.len, len);
}

static void expect_want(struct copy_plan *plan)
{
    struct copy_piece piece;
    assert_false(copy_plan_next(plan, DATA_LEN, HOLE_LEN, &piece));
    assert_true(copy_plan_wants_extent(plan));
    assert_false(copy_plan_is_finished(plan));
}

static void expect_finished(struct copy_plan *plan)
{
    struct copy_piece piece;
    assert_false(copy_plan_next(plan, DATA_LEN, HOLE_LEN, &piece));
    assert_false(copy_plan_wants_extent(plan));
    assert_true(copy_plan_is_finished(plan));
}

static void empty_input_is_finished(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 0, 512);
    expect_finished(&plan);
}

static void last_sector_is_taken_as_a_whole(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 1, 65536);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_DATA, 1);
    expect_piece(&plan, COPY_DATA, 0, 512);
    expect_finished(&plan);
}

static void data_is_cut_at_buffer_boundaries(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 0x28000, 512);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x8000);
    expect_piece(&plan, COPY_HOLE, 0, 0x8000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_DATA, 0x28000);
    expect_piece(&plan, COPY_DATA, 0x8000, 0x8000);
    expect_piece(&plan, COPY_DATA, 0x10000, 0x10000);
    expect_piece(&plan, COPY_DATA, 0x20000, 0x8000);
    expect_finished(&plan);
}

static void holes_are_cut_by_length(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 0x90001, 512);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x90001);
    expect_piece(&plan, COPY_HOLE, 0, 0x40000);
    expect_piece(&plan, COPY_HOLE, 0x40000, 0x40000);
    expect_piece(&plan, COPY_HOLE, 0x80000, 0x10200);
    expect_finished(&plan);
}

static void sector_with_data_and_hole_is_data(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 0x10000, 0x2000);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x5000);
    expect_piece(&plan, COPY_HOLE, 0, 0x4000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_DATA, 0x7000);
    expect_piece(&plan, COPY_DATA, 0x4000, 0x4000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x10000);
    expect_piece(&plan, COPY_HOLE, 0x8000, 0x8000);
    expect_finished(&plan);
}

static void extents_inside_one_sector_are_taken_once(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 0x10000, 0x4000);
    copy_plan_add_extent(&plan, COPY_DATA, 0x1000);
    expect_piece(&plan, COPY_DATA, 0, 0x4000);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x2000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_DATA, 0x3000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_HOLE, 0x7000);
    expect_want(&plan);
    copy_plan_add_extent(&plan, COPY_DATA, 0x10000);
    expect_piece(&plan, COPY_DATA, 0x4000, 0xc000);
    expect_finished(&plan);
}

static void extent_past_the_end_is_cut(void **state)
{
    (void)state;
    struct copy_plan plan;
    copy_plan_init(&plan, 1000, 512);
    copy_plan_add_extent(&plan, COPY_DATA, UINT64_MAX);
    expect_piece(&plan, COPY_DATA, 0, 1024);
    expect_finished(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_input_is_finished),           cmocka_unit_test(last_sector_is_taken_as_a_whole),
        cmocka_unit_test(data_is_cut_at_buffer_boundaries),  cmocka_unit_test(holes_are_cut_by_length),
        cmocka_unit_test(sector_with_data_and_hole_is_data), cmocka_unit_test(extents_inside_one_sector_are_taken_once),
        cmocka_unit_test(extent_past_the_end_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
