/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/jail/jail.h"
#include "host/jail/jail_report.h"

/* What the child might have made of the page. */
static void page_write(struct jail_report *report, int violation)
{
    memcpy(report, &violation, sizeof(violation));
}

static void assert_described(const struct jail_report *report, const char *detail)
{
    struct error error = {0};
    assert_false(jail_report_describe(report, &error));
    assert_int_equal(error.kind, ERROR_HOST);
    assert_string_equal(error.detail, detail);
}

static void unknown_violations_have_words(void **state)
{
    (void)state;
    static const int nonsense[] = {0, -1, INT32_MIN, INT32_MAX, 0x10001};
    struct error error = {0};
    int fd = -1;
    struct jail_report *report = jail_report_make(&fd, &error);
    assert_non_null(report);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        page_write(report, nonsense[i]);
        assert_int_equal(jail_report_number(report), -1);
        assert_described(report, "the machine's process attempted a system call that its jail forbids");
    }
    assert_described(NULL, "the machine's process attempted a system call that its jail forbids");
    close(fd);
    jail_report_free(report);
    jail_report_free(NULL);
}

static void violations_have_names_or_numbers(void **state)
{
    (void)state;
    struct error error = {0};
    int fd = -1;
    struct jail_report *report = jail_report_make(&fd, &error);
    assert_non_null(report);
    page_write(report, SYS_openat + 1);
    assert_described(report, "the machine's process attempted system call openat, which its jail forbids");
    page_write(report, SYS_read + 1); /* number 0 */
    assert_described(report, "the machine's process attempted system call read, which its jail forbids");
    page_write(report, 9999 + 1);
    assert_described(report, "the machine's process attempted system call 9999, which its jail forbids");
    close(fd);
    jail_report_free(report);
}

/* A process that forbids itself everything but what a jail keeps, and then asks for a name. */
static void violator(int report_fd)
{
    struct jail_config config = {.growth_len = 1 << 24};
    struct jail jail;
    struct error error = {0};
    if (!jail_report_watch(report_fd, &error) || !jail_enter(&jail, &config, &error) || !jail_close(&jail, &error)) {
        _exit(1);
    }
    char name[64];
    syscall(SYS_uname, name);
    _exit(2);
}

static void assert_reported(void)
{
    struct error error = {0};
    int fd = -1;
    struct jail_report *report = jail_report_make(&fd, &error);
    assert_non_null(report);
    pid_t pid = fork();
    if (pid == 0) {
        violator(fd);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    assert_int_equal(jail_report_number(report), SYS_uname);
    close(fd);
    jail_report_free(report);
}

static void a_violation_is_reported(void **state)
{
    (void)state;
    assert_reported();
}

static void a_blocked_signal_is_no_hiding_place(void **state)
{
    (void)state;
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    sigprocmask(SIG_BLOCK, &set, &before);
    assert_reported();
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void an_ignored_signal_is_no_hiding_place(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGSYS, SIG_IGN);
    assert_reported();
    signal(SIGSYS, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_violations_have_words),
        cmocka_unit_test(violations_have_names_or_numbers),
        cmocka_unit_test(a_violation_is_reported),
        cmocka_unit_test(a_blocked_signal_is_no_hiding_place),
        cmocka_unit_test(an_ignored_signal_is_no_hiding_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
