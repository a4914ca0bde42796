/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/qcow2/layout/qcow2_dirty_ranges.h"

#define UNIT_LEN 4096u
#define UNITS 4000u

/* Memory of exactly its length, so that a sanitizer sees what goes past it. */
static struct qcow2_dirty_ranges make(uint32_t max, uint64_t unit_len)
{
    struct qcow2_dirty_ranges changes = {.max = max, .unit_len = unit_len};
    changes.stretches = malloc(max * sizeof(*changes.stretches));
    assert_non_null(changes.stretches);
    return changes;
}

static void assert_in_order(const struct qcow2_dirty_ranges *changes)
{
    assert_true(changes->count < changes->max);
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct qcow2_dirty_range *stretch = &changes->stretches[i];
        assert_true(stretch->voff < stretch->end_voff);
        assert_true(i == 0 || stretch[-1].end_voff < stretch->voff);
    }
}

static uint64_t number(uint64_t *state, uint64_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % limit;
}

/* Random stretches, against a map of all units. *ret_is_exact: the record has nothing else. */
static void compare_with_map(uint32_t max, uint32_t rounds, bool *ret_is_exact)
{
    static bool is_changed[UNITS];
    static bool is_noted[UNITS];
    struct qcow2_dirty_ranges changes = make(max, UNIT_LEN);
    uint64_t state = max;
    memset(is_changed, 0, sizeof(is_changed));
    memset(is_noted, 0, sizeof(is_noted));
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t voff = number(&state, (UNITS - 8) * UNIT_LEN);
        uint64_t len = 1 + number(&state, number(&state, 4) == 0 ? 7 * UNIT_LEN : UNIT_LEN);
        qcow2_dirty_ranges_add(&changes, voff, len);
        assert_in_order(&changes);
        for (uint64_t unit = voff / UNIT_LEN; unit <= (voff + len - 1) / UNIT_LEN; unit++) {
            is_changed[unit] = true;
        }
    }
    for (uint32_t i = 0; i < changes.count; i++) {
        for (uint64_t voff = changes.stretches[i].voff; voff < changes.stretches[i].end_voff; voff += UNIT_LEN) {
            is_noted[voff / UNIT_LEN] = true;
        }
    }
    for (uint32_t unit = 0; unit < UNITS; unit++) {
        assert_true(is_noted[unit] || !is_changed[unit]);
    }
    *ret_is_exact = memcmp(is_noted, is_changed, sizeof(is_noted)) == 0;
    assert_true(*ret_is_exact || changes.gap_len > 0);
    free(changes.stretches);
}

static void nothing_is_added_while_there_is_room(void **state)
{
    bool is_exact;
    (void)state;
    compare_with_map(2048, 500, &is_exact);
    assert_true(is_exact);
}

static void nothing_is_lost_when_there_is_no_room(void **state)
{
    bool is_exact;
    (void)state;
    compare_with_map(64, 500, &is_exact);
    assert_false(is_exact);
    compare_with_map(4, 500, &is_exact);
    assert_false(is_exact);
}

static void neighbours_become_one(void **state)
{
    struct qcow2_dirty_ranges changes = make(8, 512);
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        qcow2_dirty_ranges_add(&changes, (1000 - i) * 512, 512);
    }
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.stretches[0].voff, 512);
    assert_int_equal(changes.stretches[0].end_voff, 1001 * 512);
    assert_int_equal(changes.gap_len, 0);
    free(changes.stretches);
}

/* What lies close together becomes one, not what lies far apart. */
static void short_gaps_go_first(void **state)
{
    struct qcow2_dirty_ranges changes = make(8, 512);
    (void)state;
    qcow2_dirty_ranges_add(&changes, 1ull << 40, 512);
    qcow2_dirty_ranges_add(&changes, 1ull << 50, 512);
    for (uint64_t i = 0; i < 1000; i++) {
        qcow2_dirty_ranges_add(&changes, i * 1024, 512);
    }
    assert_int_equal(changes.gap_len, 512);
    assert_int_equal(changes.stretches[changes.count - 2].voff, 1ull << 40);
    assert_int_equal(changes.stretches[changes.count - 2].end_voff, (1ull << 40) + 512);
    free(changes.stretches);
}

static void the_longest_disk_fits(void **state)
{
    uint64_t unit_len = 1ull << 31;
    uint64_t len = (1ull << 63) - unit_len;
    struct qcow2_dirty_ranges changes = make(4, unit_len);
    (void)state;
    qcow2_dirty_ranges_add(&changes, len - 1, 1);
    qcow2_dirty_ranges_add(&changes, 0, 1);
    qcow2_dirty_ranges_add(&changes, len / 2, 1);
    qcow2_dirty_ranges_add(&changes, len / 4, 1);
    assert_in_order(&changes);
    assert_int_equal(changes.count, 3);
    assert_int_equal(changes.stretches[0].voff, 0);
    assert_int_equal(changes.stretches[2].end_voff, len);
    free(changes.stretches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_added_while_there_is_room),
        cmocka_unit_test(nothing_is_lost_when_there_is_no_room),
        cmocka_unit_test(neighbours_become_one),
        cmocka_unit_test(short_gaps_go_first),
        cmocka_unit_test(the_longest_disk_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
