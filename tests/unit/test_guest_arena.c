/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/runtime/arena.h"

static void allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0x1000, 0x10000);
    assert_int_equal((uintptr_t)arena_allocate(&arena, 1, 1), 0x1000);
    assert_int_equal((uintptr_t)arena_allocate(&arena, 3, 64), 0x1040);
    assert_int_equal((uintptr_t)arena_allocate(&arena, 0x100, 0x1000), 0x2000);
    assert_int_equal((uintptr_t)arena_allocate(&arena, 8, 8), 0x2100);
}

static void arena_can_be_used_to_its_last_byte(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0x1000, 0x1000);
    assert_int_equal(arena_left(&arena, 1), 0x1000);
    assert_non_null(arena_allocate(&arena, 0x1000, 0x1000));
    assert_int_equal(arena_left(&arena, 1), 0);
    assert_null(arena_allocate(&arena, 1, 1));
}

static void too_much_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0x1010, 0x1000);
    assert_null(arena_allocate(&arena, 0x1001, 1));
    assert_null(arena_allocate(&arena, 0x1000, 0x20));
    assert_null(arena_allocate(&arena, UINT64_MAX, 1));
    assert_null(arena_allocate(&arena, 1, 0x10000));
    assert_int_equal((uintptr_t)arena_allocate(&arena, 0x1000, 1), 0x1010);
}

static void alignment_beyond_the_address_space_is_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, UINT64_MAX - 0x100, 0x100);
    assert_null(arena_allocate(&arena, 1, 0x1000));
    assert_int_equal(arena_left(&arena, 0x1000), 0);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0x1000, 0x1000);
    assert_null(arena_allocate(&arena, 0, 1));
    assert_null(arena_allocate(&arena, 1, 0));
    assert_null(arena_allocate(&arena, 1, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(arena_can_be_used_to_its_last_byte),
        cmocka_unit_test(too_much_is_refused_and_changes_nothing),
        cmocka_unit_test(alignment_beyond_the_address_space_is_refused),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
