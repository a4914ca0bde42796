/* SPDX-License-Identifier: Apache-2.0 */
/* What a job may use and open: options, environment and configuration file together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/machine_options.h"
#include "host/cli/options.h"
#include "test_job_support.h"

static const struct option options[] = {
    MACHINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static struct machine_options parsed;
static struct error error;

static int enter(void **state)
{
    unsetenv("INSTAR_SANDBOX");
    return directory_enter(state);
}

static int leave(void **state)
{
    machine_options_release(&parsed);
    return directory_leave(state);
}

/* The options in `line`, separated by blanks, for a job of that kind. */
static bool complete(const char *line, enum job_kind kind)
{
    char *copy = strdup(line);
    char *argv[32] = {copy};
    int argc = 1;
    char *rest = copy;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    optind = 0;
    error = (struct error){0};
    machine_options_release(&parsed);
    machine_options_init(&parsed);
    int code;
    bool success = true;
    while (success && (code = options_next(argc, argv, ":", options, &error)) != OPTIONS_END) {
        success = code != OPTIONS_ERROR && machine_options_take(&parsed, code, optarg, &error);
    }
    success = success && machine_options_complete(&parsed, kind, &error);
    free(copy);
    return success;
}

static void assert_good(const char *line)
{
    if (!complete(line, JOB_CONVERT)) {
        fail_msg("%s: %s", error.place, error.detail);
    }
}

static void assert_bad(const char *line, const char *place, const char *detail)
{
    assert_false(complete(line, JOB_CONVERT));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.place, place);
    assert_string_equal(error.detail, detail);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_good("--config /dev/null");
    const struct job *job = &parsed.job;
    const struct job_limits built_in = {.min_free_len = UINT64_MAX, .line_count = UINT64_MAX};
    assert_memory_equal(&job->limits, &built_in, sizeof(built_in));
    assert_int_equal(job->sandbox, JOB_SANDBOX_AUTO);
    assert_ptr_equal(job->policy, &parsed.policy);
    assert_false(job->policy->no_backing);
    assert_int_equal(job->policy->directory_count, 0);
    assert_true(complete("--config /dev/null", JOB_INSPECT));
    assert_int_equal(job->limits.cpu_s, 30);
    assert_int_equal(job->limits.min_free_len, 0);
    assert_good("--config /dev/null --min-free 2G");
    assert_int_equal(job->limits.min_free_len, 2ull << 30);
}

static void test_limits(void **state)
{
    (void)state;
    assert_good("--config /dev/null --max-time 1 --max-cpu=2 --max-output 3K --max-memory 1.5G --max-exits "
                "18446744073709551615");
    const struct job_limits *limits = &parsed.job.limits;
    assert_int_equal(limits->time_s, 1);
    assert_int_equal(limits->cpu_s, 2);
    assert_int_equal(limits->output_len, 3072);
    assert_int_equal(limits->memory_len, 1610612736);
    assert_true(limits->exit_count == UINT64_MAX);
    assert_true(limits->line_count == UINT64_MAX);
    assert_good("--config /dev/null --max-lines 12");
    assert_int_equal(limits->line_count, 12);
}

static void test_the_older_name_of_a_limit(void **state)
{
    (void)state;
    assert_good("--config /dev/null --timeout 7");
    assert_int_equal(parsed.job.limits.time_s, 7);
    assert_good("--config /dev/null --timeout 7 --max-time 8");
    assert_int_equal(parsed.job.limits.time_s, 8);
    assert_bad("--timeout soon", "--timeout", "soon is not a number of seconds from 0 to 4294967295");
}

static void test_zero_is_no_limit(void **state)
{
    (void)state;
    file_make("conf", "[limits]\nmax-time = 5\nmax-cpu = 6\n");
    assert_good("--config conf --max-time 0");
    assert_int_equal(parsed.job.limits.time_s, 0);
    assert_int_equal(parsed.job.limits.cpu_s, 6);
    assert_true(complete("--config /dev/null --max-cpu 0", JOB_INSPECT));
    assert_int_equal(parsed.job.limits.cpu_s, 0);
}

static void test_wrong_limits(void **state)
{
    (void)state;
    assert_bad("--max-time 4294967296", "--max-time", "4294967296 is not a number of seconds from 0 to 4294967295");
    assert_bad("--max-cpu -1", "--max-cpu", "-1 is not a number of seconds from 0 to 4294967295");
    assert_bad("--max-cpu=", "--max-cpu", " is not a number of seconds from 0 to 4294967295");
    assert_bad("--max-output 5Q", "--max-output", "5Q is not a size, such as 1073741824, 512M or 1.5G");
    assert_bad("--max-memory 16E", "--max-memory", "16E is not a size, such as 1073741824, 512M or 1.5G");
    assert_bad("--max-exits 1K", "--max-exits", "1K is not a number from 0 to 18446744073709551615");
    assert_bad("--max-exits", "--max-exits", "needs a value");
}

static void test_backing_directories(void **state)
{
    (void)state;
    file_make("conf", "[backing]\ndirectory = /usr\n");
    assert_good("--backing-dir /tmp --config conf --backing-dir=/etc");
    const struct policy *policy = parsed.job.policy;
    assert_int_equal(policy->directory_count, 3);
    assert_string_equal(policy->directories[0].path, "/tmp");
    assert_string_equal(policy->directories[1].path, "/etc");
    assert_string_equal(policy->directories[2].path, "/usr");
    assert_false(policy->no_backing);
}

static void test_wrong_backing_directories(void **state)
{
    (void)state;
    assert_bad("--backing-dir missing", "missing",
               "cannot use as a directory for backing files: No such file or directory");
    assert_bad("--backing-dir=", "--backing-dir", "the name of the directory is empty");
}

static void test_no_backing(void **state)
{
    (void)state;
    file_make("widens", "[backing]\nallow = beside\ndirectory = /usr\n");
    assert_good("--no-backing --config widens");
    assert_true(parsed.job.policy->no_backing);
    assert_false(policy_allows_something(parsed.job.policy));
    assert_good("--config widens");
    assert_false(parsed.job.policy->no_backing);
    assert_bad("--no-backing --backing-dir /tmp --config widens", "--backing-dir",
               "cannot be combined with --no-backing");
    assert_bad("--backing-file /etc/passwd --no-backing", "--backing-file", "cannot be combined with --no-backing");
}

/* What the command line says of it counts before the file. */
static void test_backing(void **state)
{
    (void)state;
    file_make("beside", "[backing]\nallow = beside\n");
    file_make("no", "[backing]\nallow = no\n");
    assert_good("--config /dev/null");
    assert_false(policy_allows_something(parsed.job.policy));
    assert_good("--config beside");
    assert_true(parsed.job.policy->allows_beside);
    assert_good("--config no --backing-file /etc/passwd");
    assert_false(parsed.job.policy->allows_beside);
    assert_int_equal(parsed.job.policy->file_count, 1);
    assert_bad("--backing-file missing", "missing", "cannot use as a backing file: No such file or directory");
    assert_bad("--backing-file=", "--backing-file", "the name of the file is empty");
}

static void test_sandbox(void **state)
{
    (void)state;
    assert_good("--config /dev/null --sandbox=kvm");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_KVM);
    assert_good("--config /dev/null --sandbox process");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_PROCESS);
    assert_bad("--sandbox=KVM", "--sandbox", "KVM is not one of auto, kvm, process");
    assert_bad("--sandbox=", "--sandbox", " is not one of auto, kvm, process");
}

static void test_run_as(void **state)
{
    (void)state;
    assert_bad("--run-as=nobody-of-this-name", "--run-as",
               "'nobody-of-this-name' is neither a user in /etc/passwd nor a number");
    assert_bad("--run-as=-1", "--run-as", "'-1' is neither a user in /etc/passwd nor a number");
    assert_bad("--run-as=4294967295", "--run-as", "'4294967295' is neither a user in /etc/passwd nor a number");
    file_make("conf", "[sandbox]\nrun-as = 4294967001\n");
    if (geteuid() != 0) {
        assert_good("--config conf");
        assert_false(parsed.job.user.is_set);
        assert_bad("--config conf --run-as=4294967001", "--run-as",
                   "only root can run the machine's process as another user");
        return;
    }
    assert_good("--config conf");
    assert_true(parsed.job.user.is_set);
    assert_int_equal(parsed.job.user.uid, 4294967001);
    assert_int_equal(parsed.job.user.gid, 4294967001);
    assert_false(parsed.job.user.is_optional);
    assert_good("--config conf --run-as=root");
    assert_false(parsed.job.user.is_set);
    assert_good("--config conf --run-as=nobody");
    assert_int_equal(parsed.job.user.uid, 65534);
    assert_good("--config /dev/null --run-as 65534");
    assert_int_equal(parsed.job.user.uid, 65534);
}

/* An option counts before the environment, and that before the file. */
static void test_sandbox_of_the_environment(void **state)
{
    (void)state;
    file_make("conf", "[sandbox]\nengine = kvm\n");
    assert_good("--config conf");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_KVM);
    assert_good("--config conf --sandbox=auto");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_AUTO);
    setenv("INSTAR_SANDBOX", "process", 1);
    assert_good("--config conf");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_PROCESS);
    assert_good("--config conf --sandbox=auto");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_AUTO);
    setenv("INSTAR_SANDBOX", "", 1);
    assert_good("--config conf");
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_KVM);
    setenv("INSTAR_SANDBOX", "magic", 1);
    assert_bad("--config conf", "INSTAR_SANDBOX", "magic is not one of auto, kvm, process");
    assert_good("--config conf --sandbox=kvm"); /* nobody asks for it */
}

static void test_configuration_files(void **state)
{
    (void)state;
    file_make("conf", "[limits]\nmax-time = 5\n");
    file_make("other", "[limits]\nmax-cpu = 6\n");
    file_make("bad", "[limits]\nnonsense = 6\n");
    assert_good("--config conf --config other");
    assert_int_equal(parsed.job.limits.time_s, 0);
    assert_int_equal(parsed.job.limits.cpu_s, 6);
    assert_bad("--config bad", "bad:2", "unknown key 'nonsense' in [limits]");
    assert_bad("--config=", "--config", "the name of the file is empty");
    assert_false(complete("--config missing", JOB_CONVERT));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.place, "missing");
    assert_string_equal(error.detail, "cannot open: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_limits),
        TEST(test_the_older_name_of_a_limit),
        TEST(test_zero_is_no_limit),
        TEST(test_wrong_limits),
        TEST(test_backing_directories),
        TEST(test_wrong_backing_directories),
        TEST(test_no_backing),
        TEST(test_backing),
        TEST(test_sandbox),
        TEST(test_run_as),
        TEST(test_sandbox_of_the_environment),
        TEST(test_configuration_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
