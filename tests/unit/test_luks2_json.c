/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that nobody trusts: what is taken, what is refused, and what texts and numbers are read as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/luks/luks2_json.h"

static uint8_t memory[1 << 20];

static struct span text_span(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static bool parse(const char *text, struct json *ret_json)
{
    struct arena arena;
    struct error error = {0};
    memset(memory, 0, sizeof(memory));
    arena_init(&arena, (uint64_t)(uintptr_t)memory, sizeof(memory));
    bool success = json_parse(text_span(text), &arena, ret_json, &error);
    assert_int_equal(success, !error_is_set(&error));
    return success;
}

static void values_are_found(void **state)
{
    struct json json;
    char text[16];
    uint64_t number;
    (void)state;
    assert_true(parse(
        " { \"a\" : [ 1 , \"2\" , {} , [ ] , true ] , \"b\":{\"c\":null},\"a\\/b\":\"x\\/\\u0041\\\"\" } ", &json));
    const struct json_value *list = json_member(&json, json.root, "a");
    assert_int_equal(list->kind, JSON_LIST);
    assert_true(json_number(&json, json_first(list), &number) && number == 1);
    assert_false(json_number_text(&json, json_first(list), &number));
    assert_true(json_number_text(&json, json_first(list)->next, &number) && number == 2);
    assert_null(json_first(json_first(list)->next->next));
    assert_non_null(json_member(&json, json_member(&json, json.root, "b"), "c"));
    assert_null(json_member(&json, list, "c"));
    assert_null(json_member(&json, NULL, "c"));
    assert_true(json_text(&json, json_member(&json, json.root, "a\\/b"), text, sizeof(text)));
    assert_string_equal(text, "x/A\"");
    assert_false(json_text(&json, json_member(&json, json.root, "a\\/b"), text, 4));
    /* Of members with one key the last one counts, as for json-c. */
    assert_true(parse("{\"a\":1,\"a\":2}", &json));
    assert_true(json_number(&json, json_member(&json, json.root, "a"), &number) && number == 2);
}

static void numbers_are_whole_and_fit(void **state)
{
    static const char *const wrong[] = {"18446744073709551616",      "-1", "1.5", "1e3", "0x10",
                                        "99999999999999999999999999"};
    struct json json;
    char text[64];
    uint64_t number;
    (void)state;
    assert_true(parse("{\"a\":18446744073709551615}", &json));
    assert_true(json_number(&json, json_first(json.root), &number) && number == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        snprintf(text, sizeof(text), "{\"a\":%s}", wrong[i]);
        assert_false(parse(text, &json) && json_number(&json, json_first(json.root), &number));
    }
}

static void escapes_are_those_of_ascii(void **state)
{
    static const char *const wrong[] = {"\\u0000", "\\u00e9", "\\x", "\\u12", "\\u123g", "\xc3\xa9"};
    struct json json;
    char text[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        snprintf(text, sizeof(text), "{\"a\":\"%s\"}", wrong[i]);
        assert_true(parse(text, &json));
        assert_false(json_text(&json, json_first(json.root), text, sizeof(text)));
    }
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        " ",
                                        "1",
                                        "[]",
                                        "\"a\"",
                                        "{",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":}",
                                        "{\"a\":1",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{\"a\":[1,]}",
                                        "{\"a\":[1}",
                                        "{\"a\":tru}",
                                        "{\"a\":truee}",
                                        "{\"a\":\"",
                                        "{\"a\":\"\\",
                                        "{\"a\":\"\n\"}",
                                        "{} {}",
                                        "{\"a\" 1}",
                                        "{\"a\":1 \"b\":2}",
                                        "{\"a\":@}"};
    struct json json;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        if (parse(wrong[i], &json)) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

static void depth_and_number_of_values_are_bounded(void **state)
{
    static char text[3 * JSON_VALUES_MAX];
    struct json json;
    (void)state;
    for (uint32_t depth = 1; depth < 40; depth++) {
        size_t len = 0;
        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', depth);
        memset(text + 5 + depth, ']', depth);
        len = 5 + 2 * depth;
        memcpy(text + len, "}", 2);
        assert_int_equal(parse(text, &json), depth < JSON_DEPTH_MAX);
    }
    for (uint32_t count = JSON_VALUES_MAX - 4; count < JSON_VALUES_MAX + 4; count++) {
        size_t len = 6;
        memcpy(text, "{\"a\":[", 6);
        for (uint32_t i = 0; i < count; i++) {
            text[len++] = i > 0 ? ',' : ' ';
            text[len++] = '0';
        }
        memcpy(text + len, "]}", 3);
        assert_int_equal(parse(text, &json), count + 2 <= JSON_VALUES_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found),
        cmocka_unit_test(numbers_are_whole_and_fit),
        cmocka_unit_test(escapes_are_those_of_ascii),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(depth_and_number_of_values_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
