/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/cli/escape.h"

static void assert_escaped(const char *text, const char *expected)
{
    /* On the heap and exact, so that a sanitizer sees a byte too many. */
    size_t len = ESCAPED_LEN(strlen(text));
    char *target = malloc(len);
    assert_string_equal(escape_text(target, len, text), expected);
    free(target);
}

static void test_plain_text(void **state)
{
    (void)state;
    assert_escaped("", "");
    assert_escaped("disk image.qcow2", "disk image.qcow2");
    assert_escaped("C:\\images\\\"a\"", "C:\\images\\\"a\"");
}

static void test_utf8(void **state)
{
    (void)state;
    assert_escaped("Größe", "Größe");
    assert_escaped("映像", "映像");
    assert_escaped("\xf0\x9f\x92\xbe", "\xf0\x9f\x92\xbe");
}

static void test_control_characters(void **state)
{
    (void)state;
    assert_escaped("\x1b[2Jgone", "\\x1b[2Jgone");
    assert_escaped("a\nb\rc\td\be\x7f", "a\\x0ab\\x0dc\\x09d\\x08e\\x7f");
    assert_escaped("\xc2\x9b"
                   "2J",
                   "\\xc2\\x9b"
                   "2J");
}

static void test_malformed_utf8(void **state)
{
    (void)state;
    assert_escaped("\xff\xfe", "\\xff\\xfe");
    assert_escaped("\x80", "\\x80");
    assert_escaped("\xc3", "\\xc3");
    assert_escaped("\xe6\x98", "\\xe6\\x98");
    assert_escaped("\xf0\x9f\x92", "\\xf0\\x9f\\x92");
    assert_escaped("\xc0\x8a", "\\xc0\\x8a");                   /* overlong newline */
    assert_escaped("\xe0\x80\x8a", "\\xe0\\x80\\x8a");          /* overlong newline */
    assert_escaped("\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a"); /* overlong newline */
    assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
    assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* past the last character */
    assert_escaped("\xc3\x1b[m", "\\xc3\\x1b[m");               /* a control in the middle */
}

static void test_what_rearranges_text(void **state)
{
    (void)state;
    assert_escaped("a\xe2\x80\xae"
                   "b",
                   "a\\xe2\\x80\\xae"
                   "b");                               /* right-to-left override */
    assert_escaped("\xe2\x81\xa6", "\\xe2\\x81\\xa6"); /* isolate */
    assert_escaped("\xe2\x80\xa8", "\\xe2\\x80\\xa8"); /* line separator */
}

static void test_what_cannot_be_seen(void **state)
{
    (void)state;
    assert_escaped("a\xf0\x93\x90\xb0z", "a\\xf0\\x93\\x90\\xb0z");         /* U+13430 joins two signs */
    assert_escaped("\xf0\x93\x90\xaf", "\xf0\x93\x90\xaf");                 /* U+1342F is one */
    assert_escaped("\xe2\x80\x8b", "\\xe2\\x80\\x8b");                      /* U+200B, no width */
    assert_escaped("\xc2\xad", "\\xc2\\xad");                               /* U+00AD, soft hyphen */
    assert_escaped("\xe2\x81\xa0", "\\xe2\\x81\\xa0");                      /* U+2060, word joiner */
    assert_escaped("\xef\xbb\xbf", "\\xef\\xbb\\xbf");                      /* U+FEFF, byte order mark */
    assert_escaped("\xf3\xa0\x81\xa1", "\\xf3\\xa0\\x81\\xa1");             /* U+E0061, a tag */
    assert_escaped("\xef\xbf\xbd", "\xef\xbf\xbd");                         /* U+FFFD, which is seen */
    assert_escaped("\xe2\x80\x8a\xe2\x81\x9f", "\xe2\x80\x8a\xe2\x81\x9f"); /* spaces beside them */
}

static void test_what_does_not_fit_is_cut_whole(void **state)
{
    (void)state;
    char target[6];
    assert_string_equal(escape_text(target, sizeof(target), "abcdefgh"), "abcde");
    assert_string_equal(escape_text(target, sizeof(target), "ab\x1b"), "ab");
    assert_string_equal(escape_text(target, sizeof(target), "abcd\xc3\xa4"), "abcd");
    assert_string_equal(escape_text(target, 1, "abc"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_malformed_utf8),
        cmocka_unit_test(test_what_rearranges_text),
        cmocka_unit_test(test_what_cannot_be_seen),
        cmocka_unit_test(test_what_does_not_fit_is_cut_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
