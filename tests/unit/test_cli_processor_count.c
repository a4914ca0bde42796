/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cli/processor_count.h"

/* A tree with /proc and /sys of our own. */
static char root[] = "/var/tmp/instar-count-XXXXXX";

static void file_write(const char *name, const char *content)
{
    char path[256];
    snprintf(path, sizeof(path), "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int tree_make(void **state)
{
    (void)state;
    memcpy(root, "/var/tmp/instar-count-XXXXXX", sizeof(root));
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int tree_remove(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}

/* As many as there are, whatever they are, is what everything below is compared with. */
static uint32_t available(void)
{
    return processor_count(UINT32_MAX, "/nowhere");
}

static void test_is_bounded(void **state)
{
    (void)state;
    assert_true(available() >= 1);
    assert_int_equal(processor_count(1, root), 1);
    assert_int_equal(processor_count(UINT32_MAX, root), available());
}

static void test_no_limit(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "1:cpu:/other\n0::/a/b\n");
    file_write("/sys/fs/cgroup/a/b/pids.max", "max\n");
    file_write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(processor_count(UINT32_MAX, root), available());
}

static void test_processes(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/a/b\n");
    file_write("/sys/fs/cgroup/a/b/pids.max", "11\n");
    assert_int_equal(processor_count(UINT32_MAX, root), 1);
    file_write("/sys/fs/cgroup/a/b/pids.max", "3\n");
    assert_int_equal(processor_count(UINT32_MAX, root), 1);
    file_write("/sys/fs/cgroup/a/b/pids.max", "1000000\n");
    assert_int_equal(processor_count(UINT32_MAX, root), available());
}

/* Each of them may take all processors, 8 at most. */
static void test_jobs(void **state)
{
    (void)state;
    uint32_t processors = available();
    uint32_t tasks = 9 + 2 * (processors < 8 ? processors : 8);
    char limit[16];
    file_write("/proc/self/cgroup", "0::/a/b\n");
    file_write("/sys/fs/cgroup/a/b/pids.max", "20\n");
    assert_int_equal(processor_count_jobs(UINT32_MAX, root), 1);
    file_write("/sys/fs/cgroup/a/b/pids.max", "3\n");
    assert_int_equal(processor_count_jobs(UINT32_MAX, root), 1);
    snprintf(limit, sizeof(limit), "%u\n", 2 * tasks - 1);
    file_write("/sys/fs/cgroup/a/b/pids.max", limit);
    assert_int_equal(processor_count_jobs(UINT32_MAX, root), 1);
    snprintf(limit, sizeof(limit), "%u\n", 2 * tasks);
    file_write("/sys/fs/cgroup/a/b/pids.max", limit);
    assert_int_equal(processor_count_jobs(UINT32_MAX, root), processors < 2 ? 1 : 2);
    file_write("/sys/fs/cgroup/a/b/pids.max", "1000000\n");
    assert_int_equal(processor_count_jobs(UINT32_MAX, root), processors);
    assert_int_equal(processor_count_jobs(1, root), 1);
}

/* In a container whose processes have the numbers of the host's group, and by version 1. */
static void test_processes_of_container(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/seen/only/outside\n");
    file_write("/sys/fs/cgroup/pids.max", "10\n");
    assert_int_equal(processor_count(UINT32_MAX, root), 1);
    file_write("/sys/fs/cgroup/pids.max", "max\n");
    file_write("/sys/fs/cgroup/pids/pids.max", "10\n");
    assert_int_equal(processor_count(UINT32_MAX, root), 1);
}

static void test_time(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/\n");
    file_write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(processor_count(UINT32_MAX, root), 1);
    file_write("/sys/fs/cgroup/cpu.max", "100001 100000\n");
    assert_int_equal(processor_count(UINT32_MAX, root), available() < 2 ? available() : 2);
    file_write("/sys/fs/cgroup/cpu.max", "100000 0\n"); /* no kernel says so */
    assert_int_equal(processor_count(UINT32_MAX, root), available());
}

static void test_limit_of_processes(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NPROC, &before), 0);
    struct rlimit few = {.rlim_cur = 11, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NPROC, &few), 0);
    uint32_t count = processor_count(UINT32_MAX, root);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &before), 0);
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_is_bounded, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_no_limit, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_processes, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_jobs, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_processes_of_container, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_time, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(test_limit_of_processes, tree_make, tree_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
