/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/batch/manifest.h"

static const char *const options[] = {"--max-time=9"};

static bool parse(struct batch_task *task, const char *text)
{
    struct error error = {0};
    bool success = batch_task_parse(task, text, strlen(text), options, 1, &error);
    assert_int_equal(success, !error_is_set(&error));
    return success;
}

static void words_are(const char *text, const char *expected)
{
    struct batch_task task;
    char words[1024] = "";
    assert_true(parse(&task, text));
    size_t len = 0;
    for (size_t i = 0; i < task.word_count; i++) {
        len += (size_t)snprintf(&words[len], sizeof(words) - len, "%s%s", i > 0 ? " " : "", task.words[i]);
    }
    assert_null(task.words[task.word_count]);
    assert_string_equal(words, expected);
    batch_task_release(&task);
}

static void words(void **state)
{
    (void)state;
    words_are("{\"id\":\"a\",\"command\":[\"info\"]}", "info --max-time=9");
    words_are("{\"id\":\"a\",\"command\":[\"info\",\"-U\"],\"inputs\":[\"-x\"]}", "info --max-time=9 -U -- -x");
    words_are("{\"id\":\"a\",\"command\":[\"convert\",\"-c\"],\"inputs\":[\"x\",\"y\"],\"output\":\"z\","
              "\"limits\":{\"max-time\":5,\"max-memory\":\"1G\"}}",
              "convert --max-time=9 --max-time=5 --max-memory=1G -c -- x y z");
    words_are("{\"id\":\"a\",\"command\":[\"create\",\"z\",\"1G\"],\"output\":\"z\"}", "create --max-time=9 z 1G");
    words_are("{\"id\":\"a\",\"command\":[\"dd\",\"if=y\",\"of=z\"],\"output\":\"z\"}", "dd --max-time=9 if=y of=z");
    words_are("{\"id\":\"a\",\"command\":[\"convert\",\"-q\",\"y\",\"z\"],\"output\":\"z\"}",
              "convert --max-time=9 -q y z");
    words_are("{\"id\":\"a\",\"command\":[\"create\",\"-q\",\"--\",\"z\",\"1G\"],\"output\":\"z\"}",
              "create --max-time=9 -q -- z 1G");
}

/* The text of an output may be an option's value or an input, too: then the last input would be overwritten. */
static void outputs_that_are_unclear(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"id\":\"a\",\"command\":[\"convert\",\"-O\",\"raw\"],\"inputs\":[\"x\",\"y\"],\"output\":\"raw\"}",
        "{\"id\":\"a\",\"command\":[\"convert\",\"-O\",\"raw\",\"x\",\"y\"],\"output\":\"raw\"}",
        "{\"id\":\"a\",\"command\":[\"convert\",\"x\",\"y\",\"-O\",\"raw\"],\"output\":\"raw\"}",
        "{\"id\":\"a\",\"command\":[\"convert\",\"x\"],\"inputs\":[\"y\"],\"output\":\"x\"}",
        "{\"id\":\"a\",\"command\":[\"convert\",\"x\",\"y\"],\"output\":\"x\"}",
        "{\"id\":\"a\",\"command\":[\"dd\",\"-O\",\"raw\",\"if=x\",\"of=y\"],\"output\":\"raw\"}",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct batch_task task;
        assert_false(parse(&task, lines[i]));
        batch_task_release(&task);
    }
}

static void results_that_are_good(void **state)
{
    (void)state;
    struct batch_task task;
    assert_true(parse(&task, "{\"id\":\"a\",\"command\":[\"check\"]}"));
    assert_true(batch_task_accepts(&task, 0));
    assert_false(batch_task_accepts(&task, 1));
    batch_task_release(&task);
    assert_true(parse(&task, "{\"id\":\"a\",\"command\":[\"check\"],\"accept\":[3,255],\"digest\":true}"));
    assert_true(task.wants_digest);
    for (int code = -1; code < 300; code++) {
        assert_int_equal(batch_task_accepts(&task, code), code == 3 || code == 255);
    }
    batch_task_release(&task);
}

static void what_is_no_job(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "1",
        "{}",
        "{\"id\":\"a\"}",
        "{\"command\":[\"info\"]}",
        "{\"id\":\"\",\"command\":[\"info\"]}",
        "{\"id\":1,\"command\":[\"info\"]}",
        "{\"id\":\"a\",\"id\":\"b\",\"command\":[\"info\"]}",
        "{\"id\":\"a\",\"command\":[]}",
        "{\"id\":\"a\",\"command\":\"info\"}",
        "{\"id\":\"a\",\"command\":[\"info\",1]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"inputs\":\"x\"}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"inputs\":[null]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"output\":[\"x\"]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"limits\":[]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"limits\":{\"config\":\"x\"}}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"limits\":{\"max-time\":1.5}}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"accept\":[]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"accept\":[256]}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"accept\":0}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"digest\":1}",
        "{\"id\":\"a\",\"command\":[\"info\"],\"input\":[\"x\"]}",
        "{\"id\":\"a\",\"command\":[\"info\"]} x",
        "{\"id\":\"a\\u0000b\",\"command\":[\"info\"]}",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct batch_task task;
        assert_false(parse(&task, lines[i]));
        batch_task_release(&task);
    }
}

static void words_have_a_bound(void **state)
{
    (void)state;
    static char text[16384];
    struct batch_task task;
    size_t len = (size_t)snprintf(text, sizeof(text), "{\"id\":\"a\",\"command\":[\"info\"");
    for (unsigned int i = 0; i < MANIFEST_WORDS_MAX; i++) {
        len += (size_t)snprintf(&text[len], sizeof(text) - len, ",\"x\"");
    }
    snprintf(&text[len], sizeof(text) - len, "]}");
    assert_false(parse(&task, text));
    batch_task_release(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(outputs_that_are_unclear),
        cmocka_unit_test(results_that_are_good),
        cmocka_unit_test(what_is_no_job),
        cmocka_unit_test(words_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
