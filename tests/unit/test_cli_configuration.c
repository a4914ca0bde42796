/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/configuration.h"
#include "test_job_support.h"
#include "test_users.h"

#define NOBODY 65534

static struct configuration configuration;
static struct policy policy;
static struct error error;

static int enter(void **state)
{
    configuration = (struct configuration){0};
    error = (struct error){0};
    return directory_enter(state);
}

static int leave(void **state)
{
    policy_release(&policy);
    return directory_leave(state);
}

static bool read_and_open(const char *path, bool is_named)
{
    static struct backing_names names;
    error = (struct error){0};
    bool success = configuration_read(path, is_named, &configuration, &names, &error) &&
                   backing_names_open(&names, &policy, &error);
    backing_names_release(&names);
    return success;
}

static bool read_named(const char *path)
{
    return read_and_open(path, true);
}

static bool read_default(const char *path)
{
    return read_and_open(path, false);
}

/* Reads `text` as the file "conf". */
static bool read_text(const char *text)
{
    file_make("conf", text);
    return read_named("conf");
}

static void assert_good(const char *text)
{
    if (!read_text(text)) {
        fail_msg("%s: %s", error.place, error.detail);
    }
}

static void assert_bad(const char *text, const char *place, const char *detail)
{
    assert_false(read_text(text));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.place, place);
    assert_string_equal(error.detail, detail);
}

static struct job_limits limits_of(enum job_kind kind)
{
    static const struct limit_values nothing;
    return configuration_limits(&configuration, kind, &nothing);
}

static void assert_built_in(void)
{
    struct job_limits inspect = limits_of(JOB_INSPECT);
    struct job_limits convert = limits_of(JOB_CONVERT);
    const struct job_limits built_in = {.min_free_len = UINT64_MAX, .line_count = UINT64_MAX};
    assert_memory_equal(&convert, &built_in, sizeof(built_in));
    assert_int_equal(inspect.cpu_s, 30);
    assert_int_equal(inspect.time_s, 0);
    assert_int_equal(inspect.output_len, 0);
    assert_int_equal(inspect.memory_len, 0);
    assert_int_equal(inspect.exit_count, 0);
    assert_int_equal(configuration.sandbox, JOB_SANDBOX_AUTO);
    assert_false(configuration.allows_beside);
    assert_int_equal(policy.directory_count, 0);
}

static void test_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n\n",
        "# comment\n; comment\n  # indented\n",
        "[limits]\n[backing]\n",
        "[limits]",
        "\xef\xbb\xbf[limits]\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_good(texts[i]);
        assert_built_in();
    }
}

static void test_everything(void **state)
{
    (void)state;
    assert_good("# all that there is\n"
                "[backing]\n"
                "directory = /usr\n"
                "directory = /tmp/\n"
                "file = /etc/passwd\n"
                "allow = beside\n"
                "[limits]\n"
                "max-time = 3600\n"
                "max-cpu=600\n"
                "max-output = 1.5G\n"
                "max-memory = 64M\n"
                "max-exits = 1000000\n"
                "[sandbox]\n"
                "engine = process\n");
    struct job_limits limits = limits_of(JOB_CONVERT);
    assert_int_equal(limits.time_s, 3600);
    assert_int_equal(limits.cpu_s, 600);
    assert_int_equal(limits.output_len, 1610612736);
    assert_int_equal(limits.memory_len, 67108864);
    assert_int_equal(limits.exit_count, 1000000);
    limits = limits_of(JOB_INSPECT);
    assert_int_equal(limits.cpu_s, 600);
    assert_int_equal(configuration.sandbox, JOB_SANDBOX_PROCESS);
    assert_true(configuration.allows_beside);
    assert_int_equal(policy.file_count, 1);
    assert_string_equal(policy.files[0].path, "/etc/passwd");
    assert_int_equal(policy.directory_count, 2);
    assert_string_equal(policy.directories[0].path, "/usr");
    assert_string_equal(policy.directories[1].path, "/tmp");
}

/* Whatever the order of the sections. */
static void test_limits_by_kind_of_job(void **state)
{
    (void)state;
    assert_good("[limits.inspect]\nmax-time = 10\nmax-cpu = 0\n"
                "[limits]\nmax-time = 20\nmax-output = 7\n"
                "[limits.convert]\nmax-output = 0\nmax-exits = 5\n");
    struct job_limits inspect = limits_of(JOB_INSPECT);
    struct job_limits convert = limits_of(JOB_CONVERT);
    assert_int_equal(inspect.time_s, 10);
    assert_int_equal(inspect.cpu_s, 0); /* no limit, instead of our own */
    assert_int_equal(inspect.output_len, 7);
    assert_int_equal(inspect.exit_count, 0);
    assert_int_equal(convert.time_s, 20);
    assert_int_equal(convert.cpu_s, 0);
    assert_int_equal(convert.output_len, 0);
    assert_int_equal(convert.exit_count, 5);
}

static void test_the_command_line_counts_first(void **state)
{
    (void)state;
    assert_good("[limits]\nmax-time = 20\nmax-cpu = 30\n[limits.convert]\nmax-time = 10\n");
    struct limit_values command_line = {.is_given[LIMIT_TIME] = true, .values[LIMIT_TIME] = 99};
    struct job_limits limits = configuration_limits(&configuration, JOB_CONVERT, &command_line);
    assert_int_equal(limits.time_s, 99);
    assert_int_equal(limits.cpu_s, 30);
    command_line.values[LIMIT_TIME] = 0;
    limits = configuration_limits(&configuration, JOB_CONVERT, &command_line);
    assert_int_equal(limits.time_s, 0);
}

static void test_the_last_line_of_a_key_counts(void **state)
{
    (void)state;
    assert_good(
        "[limits]\nmax-time = 1\nmax-time = 2\n[backing]\nallow = beside\nallow = no\n[limits]\nmax-time = 3\n");
    assert_int_equal(limits_of(JOB_CONVERT).time_s, 3);
    assert_false(configuration.allows_beside);
    assert_good("[backing]\nallow = yes\n"); /* as files said before there was more than yes and no */
    assert_true(configuration.allows_beside);
}

static void test_blanks_comments_and_line_ends(void **state)
{
    (void)state;
    assert_good("  [limits]  # comment\r\n\tmax-time  =  5  \r\n   max-cpu: 6 ; comment\r\nmax-exits = 7");
    assert_int_equal(limits_of(JOB_CONVERT).time_s, 5);
    assert_int_equal(limits_of(JOB_CONVERT).cpu_s, 6);
    assert_int_equal(limits_of(JOB_CONVERT).exit_count, 7);
}

static void test_unknown_names(void **state)
{
    (void)state;
    assert_bad("[limits]\nmax-tim = 5\n", "conf:2", "unknown key 'max-tim' in [limits]");
    assert_bad("[limits]\nMAX-TIME = 5\n", "conf:2", "unknown key 'MAX-TIME' in [limits]");
    assert_bad("[limits.convert]\n\ntimeout = 5\n", "conf:3", "unknown key 'timeout' in [limits.convert]");
    assert_bad("[backing]\ndir = /\n", "conf:2", "unknown key 'dir' in [backing]");
    assert_bad("[sandbox]\nmax-time = 5\n", "conf:2", "unknown key 'max-time' in [sandbox]");
    assert_bad("[limit]\nmax-time = 5\n", "conf:2", "unknown section [limit]");
    assert_bad("[limits.copy]\nmax-time = 5\n", "conf:2", "unknown section [limits.copy]");
    assert_bad("max-time = 5\n", "conf:1", "'max-time' stands before the first [section]");
    assert_bad("[limits]\n= 5\n", "conf:2", "unknown key '' in [limits]");
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const char seconds[] = " is not a number of seconds from 0 to 4294967295";
    static const struct {
        const char *line;
        const char *shown;
        const char *reason;
    } cases[] = {
        {"max-time = -1", "-1", seconds},
        {"max-time = 4294967296", "4294967296", seconds},
        {"max-time =", "", seconds},
        {"max-time = 5 s", "5 s", seconds},
        {"max-time = 5 # seconds", "5 # seconds", seconds},
        {"max-cpu = 1.5", "1.5", seconds},
        {"max-output = 1X", "1X", " is not a size, such as 1073741824, 512M or 1.5G"},
        {"max-memory = 64 M", "64 M", " is not a size, such as 1073741824, 512M or 1.5G"},
        {"max-exits = 1K", "1K", " is not a number from 0 to 18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        char detail[256];
        snprintf(text, sizeof(text), "[limits]\n%s\n", cases[i].line);
        snprintf(detail, sizeof(detail), "%s%s", cases[i].shown, cases[i].reason);
        assert_bad(text, "conf:2", detail);
    }
    assert_bad("[backing]\nallow = maybe\n", "conf:2", "'maybe' is not one of no, beside");
    assert_bad("[backing]\nallow = No\n", "conf:2", "'No' is not one of no, beside");
    assert_bad("[sandbox]\nengine = xen\n", "conf:2", "xen is not one of auto, kvm, process");
    assert_bad("[sandbox]\nengine =\n", "conf:2", " is not one of auto, kvm, process");
}

static void test_wrong_directories(void **state)
{
    (void)state;
    assert_bad("[backing]\ndirectory = images\n", "conf:2", "'images' is not an absolute path");
    assert_bad("[backing]\ndirectory =\n", "conf:2", "'' is not an absolute path");
    assert_bad("[backing]\ndirectory = /missing/images\n", "conf:2",
               "/missing/images: cannot use as a directory for backing files: No such file or directory");
    assert_bad("[backing]\ndirectory = /etc/passwd\n", "conf:2",
               "/etc/passwd: cannot use as a directory for backing files: Not a directory");
    assert_int_equal(policy.directory_count, 0);
    assert_bad("[backing]\nfile = image\n", "conf:2", "'image' is not an absolute path");
    assert_bad("[backing]\nfile = /missing/image\n", "conf:2",
               "/missing/image: cannot use as a backing file: No such file or directory");
    assert_bad("[backing]\nfile = /etc\n", "conf:2", "/etc: cannot use as a backing file: it is not a regular file");
    assert_int_equal(policy.file_count, 0);
}

/* The file is for all users, and some directory may be for another one. */
static void test_a_directory_without_permission(void **state)
{
    (void)state;
    if (!may_be_anybody()) {
        skip();
    }
    char path[4096];
    char text[2 * 4096 + 128];
    assert_non_null(getcwd(path, sizeof(path)));
    snprintf(text, sizeof(text),
             "[backing]\ndirectory = %s/private/images\ndirectory = /usr\nfile = %s/private/image\n", path, path);
    file_make("conf", text);
    assert_int_equal(mkdir("private", 0700), 0);
    assert_int_equal(chmod("conf", 0644), 0);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    bool is_read = read_named("conf");
    assert_int_equal(seteuid(0), 0);
    assert_true(is_read);
    assert_int_equal(policy.directory_count, 1);
    assert_string_equal(policy.directories[0].path, "/usr");
    assert_int_equal(policy.file_count, 0);
}

static void test_malformed_lines(void **state)
{
    (void)state;
    static const char neither[] = "is neither '[section]' nor 'key = value'";
    assert_bad("[limits]\nmax-time\n", "conf:2", neither);
    assert_bad("[limits\nmax-time = 5\n", "conf:1", neither);
    assert_bad("limits]\n", "conf:1", neither);
    assert_bad("\n\n?\n", "conf:3", neither);
    assert_bad("[limits] max-time = 5\n", "conf:1", "text after the section's name");
    assert_bad("[limits]x\n", "conf:1", "text after the section's name");
    /* The first one counts, whoever finds it. */
    assert_bad("[limits]\nmax-time\nmax-cpu = x\n", "conf:2", neither);
    assert_bad("[limits]\nmax-cpu = x\nmax-time\n", "conf:2", "x is not a number of seconds from 0 to 4294967295");
}

/* inih alone would take it for a further value of the line before. */
static void test_an_indent_continues_nothing(void **state)
{
    (void)state;
    assert_bad("[backing]\ndirectory = /usr\n    /tmp\n", "conf:3", "is neither '[section]' nor 'key = value'");
}

static void test_zero_bytes(void **state)
{
    (void)state;
    static const char text[] = "[limits]\nmax-time = 5\0 0\n";
    FILE *stream = fopen("conf", "w");
    assert_int_equal(fwrite(text, 1, sizeof(text) - 1, stream), sizeof(text) - 1);
    fclose(stream);
    assert_false(read_named("conf"));
    assert_string_equal(error.place, "conf:2");
    assert_string_equal(error.detail, "the line contains a zero byte");
}

static void test_long_lines(void **state)
{
    (void)state;
    char text[4096];
    for (size_t len = 150; len < 400; len++) {
        /* The end of a line that is too long must not be taken for another line. */
        snprintf(text, sizeof(text), "[limits]\n#%*s\nmax-time = 5\n", (int)len, "max-time = x");
        bool is_read = read_text(text);
        assert_int_equal(is_read, len + 1 <= 198);
        if (!is_read) {
            assert_string_equal(error.place, "conf:2");
            assert_string_equal(error.detail, "the line is longer than 198 bytes");
        } else {
            assert_int_equal(limits_of(JOB_CONVERT).time_s, 5);
        }
    }
}

static void test_failure_leaves_the_result_alone(void **state)
{
    (void)state;
    assert_good("[limits]\nmax-time = 5\n");
    assert_false(read_text("[limits]\nmax-time = 6\nmax-cpu = x\n"));
    assert_int_equal(limits_of(JOB_CONVERT).time_s, 5);
}

static void test_missing_files(void **state)
{
    (void)state;
    assert_false(read_named("missing"));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.place, "missing");
    assert_string_equal(error.detail, "cannot open: No such file or directory");
    assert_true(read_default("missing"));
    assert_built_in();
    assert_true(read_default("missing/conf"));
    file_make("file", "");
    assert_true(read_default("file/conf"));
    assert_false(read_named("file/conf"));
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    assert_false(read_named("."));
    assert_string_equal(error.detail, "cannot read: Is a directory");
    assert_false(read_default("."));
    assert_string_equal(error.detail, "is not a regular file");
    assert_true(read_named("/dev/null"));
    assert_built_in();
    assert_int_equal(mkfifo("fifo", 0600), 0);
    alarm(30); /* instead of waiting for ever */
    assert_false(read_default("fifo"));
    alarm(0);
    assert_string_equal(error.detail, "is not a regular file");
}

/* Only the default one: who names a file knows what it is. */
static void test_files_that_others_may_write(void **state)
{
    (void)state;
    static const mode_t modes[] = {0666, 0664, 0646, 0620, 0602};
    file_make("conf", "[limits]\nmax-time = 5\n");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod("conf", modes[i]), 0);
        assert_false(read_default("conf"));
        assert_int_equal(error.kind, ERROR_USAGE);
        assert_string_equal(error.place, "conf");
        assert_string_equal(error.detail, "refused: others than its owner may write to it");
        assert_true(read_named("conf"));
    }
    assert_int_equal(chmod("conf", 0644), 0);
    assert_true(read_default("conf"));
    assert_int_equal(limits_of(JOB_CONVERT).time_s, 5);
}

static void test_files_of_other_users(void **state)
{
    (void)state;
    if (!may_be_anybody()) {
        skip();
    }
    file_make("conf", "[limits]\nmax-time = 5\n");
    assert_int_equal(chmod("conf", 0644), 0);
    assert_int_equal(chown("conf", NOBODY, NOBODY), 0);
    assert_false(read_default("conf"));
    assert_string_equal(error.detail, "refused: it is owned neither by root nor by the user");
    assert_true(read_named("conf"));
    /* Its owner trusts it, and everybody trusts root. */
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    bool is_read = read_default("conf");
    assert_int_equal(seteuid(0), 0);
    assert_true(is_read);
    assert_int_equal(chown("conf", 0, 0), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    is_read = read_default("conf");
    assert_int_equal(seteuid(0), 0);
    assert_true(is_read);
    /* A file that one may not read is no missing file. */
    assert_int_equal(chmod("conf", 0600), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    is_read = read_default("conf");
    assert_int_equal(seteuid(0), 0);
    assert_false(is_read);
    assert_string_equal(error.detail, "cannot open: Permission denied");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_everything),
        TEST(test_limits_by_kind_of_job),
        TEST(test_the_command_line_counts_first),
        TEST(test_the_last_line_of_a_key_counts),
        TEST(test_blanks_comments_and_line_ends),
        TEST(test_unknown_names),
        TEST(test_wrong_values),
        TEST(test_wrong_directories),
        TEST(test_a_directory_without_permission),
        TEST(test_malformed_lines),
        TEST(test_an_indent_continues_nothing),
        TEST(test_zero_bytes),
        TEST(test_long_lines),
        TEST(test_failure_leaves_the_result_alone),
        TEST(test_missing_files),
        TEST(test_what_cannot_be_read),
        TEST(test_files_that_others_may_write),
        TEST(test_files_of_other_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
