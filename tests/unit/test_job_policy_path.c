/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/job/policy/policy_path.h"

static void assert_beneath(const char *path, const char *directory, const char *expected)
{
    const char *found = path_beneath(path, directory);
    if (expected == NULL) {
        assert_null(found);
    } else {
        assert_non_null(found);
        assert_string_equal(found, expected);
    }
}

static void test_files_beneath(void **state)
{
    (void)state;
    assert_beneath("/a/b/c", "/a/b", "c");
    assert_beneath("/a/b/c/d", "/a/b", "c/d");
    assert_beneath("//a/./b//c", "/a/b", "c");
    assert_beneath("/a/b/c", "/", "a/b/c");
    assert_beneath("/a/b/c/", "/a/b", "c/");
}

static void test_the_directory_itself(void **state)
{
    (void)state;
    assert_beneath("/a/b", "/a/b", ".");
    assert_beneath("/a/b/", "/a/b", ".");
    assert_beneath("/", "/", ".");
    assert_beneath("///", "/", ".");
    assert_beneath("/a/b/.", "/a/b", ".");
}

static void test_files_elsewhere(void **state)
{
    (void)state;
    assert_beneath("/a/c", "/a/b", NULL);
    assert_beneath("/a/bc", "/a/b", NULL);
    assert_beneath("/a", "/a/b", NULL);
    assert_beneath("/", "/a", NULL);
    assert_beneath("/x/a/b/c", "/a/b", NULL);
}

/* ".." behind the directory is left to the kernel, as what stands before it may be a link. */
static void test_dots_that_stay_within(void **state)
{
    (void)state;
    assert_beneath("/a/b/c/../d", "/a/b", "c/../d");
    assert_beneath("/a/b/./c", "/a/b", "./c");
    assert_beneath("/a/b/c/..", "/a/b", "c/..");
    assert_beneath("/../../a", "/", "../../a");
}

static void test_dots_on_the_way(void **state)
{
    (void)state;
    assert_beneath("/a/x/../b/c", "/a/b", "c");
    assert_beneath("/a/b/../b/c", "/a/b", "c");
    assert_beneath("/a/b/c/../../b/d", "/a/b", "d");
    assert_beneath("/../a/b/c", "/a/b", "c");
}

static void test_dots_that_lead_out(void **state)
{
    (void)state;
    assert_beneath("/a/b/..", "/a/b", NULL);
    assert_beneath("/a/b/../c", "/a/b", NULL);
    assert_beneath("/a/b/c/../../../etc", "/a/b", NULL);
    assert_beneath("/a/b/...", "/a/b", "..."); /* a name like any other */
}

static void assert_parent(const char *path, const char *expected)
{
    char parent[PATH_MAX];
    path_parent(path, parent);
    assert_string_equal(parent, expected);
}

static void test_parents(void **state)
{
    (void)state;
    assert_parent("/a/b/c", "/a/b");
    assert_parent("/a", "/");
    assert_parent("/", "/");
    assert_parent("/..", "/");
    assert_parent("/a/../b//c/.", "/b");
    assert_parent("/a/b/../../../c/d", "/c");
}

/* The longest path that there is: the buffers hold it. */
static void assert_clean(const char *path, const char *expected)
{
    char *clean = path_clean(path);
    if (expected == NULL) {
        assert_null(clean);
    } else {
        assert_non_null(clean);
        assert_string_equal(clean, expected);
    }
    free(clean);
}

static void test_clean_paths(void **state)
{
    (void)state;
    assert_clean("/a/b", "/a/b");
    assert_clean("//a/.//b/./", "/a/b");
    assert_clean("/", "/");
    assert_clean("", "/");
    assert_clean("/a/..b/...", "/a/..b/...");
    assert_clean("/a/../b", NULL);
    assert_clean("/..", NULL);
    assert_clean("/a/b/..", NULL);
}

static void test_long_paths(void **state)
{
    (void)state;
    char *path = malloc(PATH_MAX);
    for (size_t i = 0; i < PATH_MAX - 1; i++) {
        path[i] = i % 2 == 0 ? '/' : 'a';
    }
    path[PATH_MAX - 1] = '\0';
    assert_beneath(path, "/a", path + 3);
    char parent[PATH_MAX];
    path_parent(path, parent);
    assert_int_equal(strlen(parent), PATH_MAX - 4);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_beneath),   cmocka_unit_test(test_the_directory_itself),
        cmocka_unit_test(test_files_elsewhere), cmocka_unit_test(test_dots_that_stay_within),
        cmocka_unit_test(test_dots_on_the_way), cmocka_unit_test(test_dots_that_lead_out),
        cmocka_unit_test(test_parents),         cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_clean_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
