/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/cli/numbers.h"

static void assert_number(const char *text, uint64_t expected)
{
    uint64_t number = 0;
    assert_true(number_parse(text, &number));
    assert_true(number == expected);
}

static void assert_size(const char *text, uint64_t expected)
{
    uint64_t len = 0;
    assert_true(size_parse(text, &len));
    assert_true(len == expected);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_number("0", 0);
    assert_number("007", 7);
    assert_number("18446744073709551615", UINT64_MAX);
}

static void test_what_is_no_number(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 " 1",
                                 "1 ",
                                 "+1",
                                 "-1",
                                 "0x10",
                                 "1.0",
                                 "1e3",
                                 "1K",
                                 "ä",
                                 "1\n2",
                                 "1\n",
                                 "1\r",
                                 "\t1",
                                 "-18446744073709551615", /* 1, by a library that wraps */
                                 "18446744073709551616",
                                 "99999999999999999999999"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t number = 123;
        assert_false(number_parse(texts[i], &number));
        assert_int_equal(number, 123);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    assert_size("0", 0);
    assert_size("512", 512);
    assert_size("512b", 512);
    assert_size("4k", 4096);
    assert_size("4K", 4096);
    assert_size("16M", 16777216);
    assert_size("1G", 1073741824);
    assert_size("2T", 2ull << 40);
    assert_size("1P", 1ull << 50);
    assert_size("15E", 15ull << 60);
    assert_size("1.5K", 1536);
    assert_size("1.5G", 1610612736);
    assert_size("0.5k", 512);
    assert_size("1.K", 1024);
    assert_size("1.0", 1);
    assert_size("1.1G", 1181116006); /* qemu-img create says the same */
}

static void test_what_is_no_size(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 "K",
                                 "-1K",
                                 ".5K",
                                 "1KiB",
                                 "1KB",
                                 "1 K",
                                 "1.5",
                                 "1.5b",
                                 "1.5.5K",
                                 "1x",
                                 "16E",
                                 "1K ",
                                 "18446744073709551616",
                                 "99999999999999999999E"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t len = 123;
        assert_false(size_parse(texts[i], &len));
        assert_int_equal(len, 123);
    }
}

static void assert_text(uint64_t len, const char *expected)
{
    char text[SIZE_TEXT_LEN];
    assert_string_equal(size_format(text, len), expected);
}

static void test_sizes_as_text(void **state)
{
    (void)state;
    assert_text(0, "0 B");
    assert_text(999, "999 B");
    assert_text(1000, "0.977 KiB");
    assert_text(1024, "1 KiB");
    assert_text(1536, "1.5 KiB");
    assert_text(1048575, "1 MiB");
    assert_text(1610612736, "1.5 GiB");
    assert_text(UINT64_MAX, "16 EiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_what_is_no_number), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_is_no_size), cmocka_unit_test(test_sizes_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
