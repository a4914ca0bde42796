/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "host/cli/progress_bar.h"

#define MIB (1ull << 20)

static void assert_line(unsigned int columns, struct progress progress, const char *expected)
{
    char line[PROGRESS_LINE_LEN];
    size_t len = progress_line_format(line, columns, &progress);
    assert_string_equal(line, expected);
    assert_int_equal(len, strlen(expected));
    assert_true(len < columns);
}

static void test_a_whole_line(void **state)
{
    (void)state;
    assert_line(80, (struct progress){512 * MIB, 1024 * MIB, 100 * MIB},
                " 50%  [============>           ]    512 MiB of 1 GiB    100 MiB/s     0:05 left");
    assert_line(80, (struct progress){0, 1024 * MIB, 0},
                "  0%  [>                                                  ]        0 B of 1 GiB");
    assert_line(80, (struct progress){1024 * MIB, 1024 * MIB, 100 * MIB},
                "100%  [========================]      1 GiB of 1 GiB    100 MiB/s     0:00 left");
}

static void test_times(void **state)
{
    (void)state;
    assert_line(56, (struct progress){0, 65 * MIB, MIB}, "  0%        0 B of 65 MiB      1 MiB/s     1:05 left");
    assert_line(56, (struct progress){0, 7325 * MIB, MIB}, "  0%        0 B of 7.15 GiB      1 MiB/s  2:02:05 left");
}

static void test_narrow_terminals_lose_fields(void **state)
{
    (void)state;
    struct progress progress = {512 * MIB, 1024 * MIB, 100 * MIB};
    assert_line(46, progress, " 50%    512 MiB of 1 GiB    100 MiB/s");
    assert_line(28, progress, " 50%    512 MiB of 1 GiB");
    assert_line(20, progress, " 50%  ");
    assert_line(1, progress, "");
}

static void test_every_width(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_LEN];
    struct progress progress = {UINT64_MAX - 1, UINT64_MAX, 1};
    for (unsigned int columns = 1; columns < 2 * PROGRESS_LINE_LEN; columns++) {
        memset(line, 'x', sizeof(line));
        line[0] = '\0';
        size_t len = progress_line_format(line, columns, &progress);
        assert_true(len < columns && len < PROGRESS_LINE_LEN);
    }
}

static void test_an_empty_job(void **state)
{
    (void)state;
    struct progress progress = {0};
    char line[PROGRESS_LINE_LEN];
    assert_true(progress_line_format(line, 80, &progress) > 0);
}

/* A short job shows nothing, and clearing nothing prints nothing. */
static void test_a_bar_waits_before_it_appears(void **state)
{
    (void)state;
    static struct console console;
    struct progress_bar bar;
    console_init(&console, -1);
    progress_bar_init(&bar, &console);
    progress_bar_update(&bar, 1, 2);
    progress_bar_draw(&bar);
    progress_bar_clear(&bar);
    assert_int_equal(console.len, 0);
    assert_int_equal(console.error_number, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_line),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_narrow_terminals_lose_fields),
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_an_empty_job),
        cmocka_unit_test(test_a_bar_waits_before_it_appears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
