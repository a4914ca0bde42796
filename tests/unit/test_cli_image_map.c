/* SPDX-License-Identifier: Apache-2.0 */
/* What `map` prints, run by run, and which runs it does not believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "host/cli/image/print/map_print.h"

static struct console console; /* what is printed stays in its buffer */
static struct job_result result;
static struct job_limits limits;
static struct map_print print;
static struct error error;

static int enter(void **state)
{
    (void)state;
    static char first[] = "b.qcow2";
    static char second[] = "a\n.qcow2";
    console_init(&console, STDOUT_FILENO);
    result.devices[0].path = first;
    result.devices[1].path = second;
    result.device_count = 2;
    limits = (struct job_limits){.line_count = UINT64_MAX};
    error = (struct error){0};
    return 0;
}

static void assert_printed(const char *expected)
{
    console.buffer[console.len] = '\0';
    assert_string_equal(console.buffer, expected);
}

static bool take(instar_MapExtent extent)
{
    instar_MapMessage message = {.extents_count = 1, .extents = {extent}};
    return map_print_take(&print, &message, &error);
}

static const instar_MapExtent hole = {.start = 0, .length = 0x100000, .depth = 1, .zero = true};
static const instar_MapExtent data = {
    .start = 0x100000,
    .length = 0x80000,
    .depth = 1,
    .present = true,
    .data = true,
    .has_offset = true,
    .offset = 0x50000,
    .device = 1,
};
static const instar_MapExtent compressed = {.start = 0x180000, .length = 0x10000, .present = true, .data = true};

static void test_json(void **state)
{
    (void)state;
    map_print_init(&print, &console, &result, &limits, true, 0);
    assert_true(take(hole));
    assert_true(take(data));
    assert_true(take(compressed));
    assert_true(map_print_end(&print, &error));
    assert_printed(
        "[{ \"start\": 0, \"length\": 1048576, \"depth\": 1, \"present\": false, \"zero\": true, \"data\": false},\n"
        "{ \"start\": 1048576, \"length\": 524288, \"depth\": 1, \"present\": true, \"zero\": false, "
        "\"data\": true, \"offset\": 327680},\n"
        "{ \"start\": 1572864, \"length\": 65536, \"depth\": 0, \"present\": true, \"zero\": false, "
        "\"data\": true}]\n");
}

static void test_human(void **state)
{
    (void)state;
    map_print_init(&print, &console, &result, &limits, false, 0);
    assert_true(take(hole));
    assert_true(take(data));
    assert_true(map_print_end(&print, &error));
    assert_printed("Offset          Length          Mapped to       File\n"
                   "0x100000        0x80000         0x50000         a\\x0a.qcow2\n");
    assert_false(take(compressed));
    assert_string_equal(error.detail, "File contains external, encrypted or compressed clusters.");
}

/* Nothing: one run without a length. */
static void test_empty(void **state)
{
    (void)state;
    map_print_init(&print, &console, &result, &limits, true, 200);
    assert_true(take((instar_MapExtent){.start = 200}));
    assert_true(map_print_end(&print, &error));
    assert_printed(
        "[{ \"start\": 200, \"length\": 0, \"depth\": 0, \"present\": false, \"zero\": false, \"data\": false}]\n");
    assert_false(take((instar_MapExtent){.start = 200, .length = 1}));
}

static void test_runs_that_cannot_be(void **state)
{
    (void)state;
    const instar_MapExtent runs[] = {
        {.start = 1, .length = 1},
        {.start = 0, .length = UINT64_MAX},
        {.start = 0, .length = 1, .depth = UINT32_MAX},
        {.start = 0, .length = 1, .has_offset = true, .device = 2},
        {.start = 0, .length = 2, .has_offset = true, .offset = INT64_MAX},
        {.start = 0, .length = 1, .has_offset = true, .offset = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        map_print_init(&print, &console, &result, &limits, true, 0);
        error = (struct error){0};
        assert_false(take(runs[i]));
        assert_int_equal(error.kind, ERROR_GUEST);
    }
    map_print_init(&print, &console, &result, &limits, true, 0);
    assert_true(take(hole));
    error = (struct error){0};
    assert_false(take((instar_MapExtent){.start = 0x100000}));
    error = (struct error){0};
    assert_false(take(hole));
    map_print_init(&print, &console, &result, &limits, true, 0);
    error = (struct error){0};
    assert_false(map_print_end(&print, &error));
}

/* What is left out is told: nobody takes the first lines for all of them. */
static void test_more_lines_than_the_limit(void **state)
{
    (void)state;
    for (int is_json = 0; is_json < 2; is_json++) {
        limits.line_count = 2;
        error = (struct error){0};
        map_print_init(&print, &console, &result, &limits, is_json, 0);
        instar_MapExtent run = data;
        for (int i = 0; i < 3; i++) {
            run.start = i * run.length;
            run.offset = (uint64_t)(3 - i) << 30;
            assert_int_equal(take(run), i < 2);
        }
        assert_int_equal(error.kind, ERROR_LIMIT);
        assert_string_equal(error.detail, "the map has more than 2 lines (option --max-lines)");
    }
    limits.line_count = 0;
    error = (struct error){0};
    map_print_init(&print, &console, &result, &limits, true, 0);
    assert_true(take(hole));
    assert_true(print.lines.max == UINT64_MAX);
}

static void test_numbers(void **state)
{
    (void)state;
    const uint64_t half = INT64_MAX;
    map_print_init(&print, &console, &result, &limits, true, 0);
    assert_true(take((instar_MapExtent){.start = 0, .length = half - 1}));
    assert_true(take((instar_MapExtent){.start = half - 1, .length = 1, .has_offset = true, .offset = half - 1}));
    assert_printed("[{ \"start\": 0, \"length\": 9223372036854775806, \"depth\": 0, \"present\": false, "
                   "\"zero\": false, \"data\": false},\n"
                   "{ \"start\": 9223372036854775806, \"length\": 1, \"depth\": 0, \"present\": false, "
                   "\"zero\": false, \"data\": false, \"offset\": 9223372036854775806}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_json, enter),
        cmocka_unit_test_setup(test_human, enter),
        cmocka_unit_test_setup(test_empty, enter),
        cmocka_unit_test_setup(test_runs_that_cannot_be, enter),
        cmocka_unit_test_setup(test_more_lines_than_the_limit, enter),
        cmocka_unit_test_setup(test_numbers, enter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
