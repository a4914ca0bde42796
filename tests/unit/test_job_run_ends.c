/* SPDX-License-Identifier: Apache-2.0 */
/* job_run: children that die or never end, limits, signals, and what a child inherits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test_job_run_support.h"
#include "test_job_support.h"

static void crash(const struct fake_child *child)
{
    (void)child;
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit */
    raise(SIGSEGV);
}

static void test_a_crash(void **state)
{
    (void)state;
    assert_run_failed(run_job(crash, NULL, 0), ERROR_HOST,
                      "the machine's process was killed by signal 11 (Segmentation fault)");
}

static void kill_itself(const struct fake_child *child)
{
    send_init(child->writer);
    channel_writer_flush(child->writer);
    raise(SIGKILL);
}

static void test_a_kill(void **state)
{
    (void)state;
    assert_run_failed(run_job(kill_itself, NULL, 0), ERROR_HOST,
                      "the machine's process was killed by signal 9 (Killed)");
}

static void exit_early(const struct fake_child *child)
{
    (void)child;
    _exit(7);
}

static void test_an_exit(void **state)
{
    (void)state;
    assert_run_failed(run_job(exit_early, NULL, 0), ERROR_HOST,
                      "the machine's process exited with 7 before the job was done");
}

static void never_end(const struct fake_child *child)
{
    (void)child;
    for (;;) {
        pause();
    }
}

static void test_the_time_limit(void **state)
{
    (void)state;
    assert_run_failed(run_job(never_end, NULL, 1), ERROR_LIMIT, "the job exceeded its time limit of 1 s");
}

static void talk_forever(const struct fake_child *child)
{
    send_init(child->writer);
    for (;;) {
        send_progress(child->writer, 1);
    }
}

static void test_the_time_limit_of_a_talker(void **state)
{
    (void)state;
    assert_run_failed(run_job(talk_forever, NULL, 1), ERROR_LIMIT, "the job exceeded its time limit of 1 s");
}

static void interrupt_on_idle(void *context)
{
    unsigned int *count = context;
    if (++*count == 3) {
        raise(SIGTERM);
        assert_true(job_is_interrupted());
    }
}

/* Also: idle is called although no message comes. */
static void test_an_interruption(void **state)
{
    (void)state;
    unsigned int count = 0;
    struct job_observer observer = {.context = &count, .idle = interrupt_on_idle, .idle_interval_ms = 10};
    assert_run_failed(run_job(never_end, &observer, 0), ERROR_INTERRUPTED, "interrupted by signal 15 (Terminated)");
    assert_int_equal(run_result.signal_number, SIGTERM);
}

static void hang_up_once(void *context)
{
    unsigned int *count = context;
    if (++*count == 1) {
        raise(SIGHUP);
    }
}

static void copy_slowly(const struct fake_child *child)
{
    struct timespec duration = {.tv_nsec = 100000000};
    nanosleep(&duration, NULL);
    copy_well(child);
}

/* As under nohup. */
static void test_an_ignored_signal_stays_ignored(void **state)
{
    (void)state;
    unsigned int count = 0;
    struct job_observer observer = {.context = &count, .idle = hang_up_once, .idle_interval_ms = 10};
    signal(SIGHUP, SIG_IGN);
    assert_true(run_job(copy_slowly, &observer, 0));
    signal(SIGHUP, SIG_DFL);
    assert_file_content("output", RUN_CONTENT);
}

static void signal_itself(const struct fake_child *child)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        raise(signals[i]);
    }
    copy_well(child);
}

/* Ctrl-C reaches the child, too. */
static void test_the_child_ignores_what_its_parent_decides(void **state)
{
    (void)state;
    assert_true(run_job(signal_itself, NULL, 0));
}

static void check_descriptors(const struct fake_child *child)
{
    DIR *stream = opendir("/proc/self/fd");
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd > STDERR_FILENO && fd != child->writer->fd && fd != child->input->fd && fd != child->output->fd &&
            fd != dirfd(stream)) {
            _exit(5);
        }
    }
    struct stat stdout_status;
    struct stat null_status;
    if (fstat(STDOUT_FILENO, &stdout_status) != 0 || stat("/dev/null", &null_status) != 0 ||
        stdout_status.st_rdev != null_status.st_rdev) {
        _exit(6);
    }
    copy_well(child);
}

static void test_the_child_has_no_other_descriptors(void **state)
{
    (void)state;
    int inherited = open("input", O_RDONLY);
    assert_true(run_job(check_descriptors, NULL, 0));
    close(inherited);
}

static void test_signals_are_as_before(void **state)
{
    (void)state;
    sigset_t before;
    sigset_t after;
    struct sigaction action;
    signal(SIGCHLD, SIG_IGN); /* inherited from a careless parent */
    sigprocmask(SIG_SETMASK, NULL, &before);
    assert_true(run_job(copy_well, NULL, 0));
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < NSIG; number++) {
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    }
    assert_int_equal(sigaction(SIGCHLD, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
    assert_int_equal(sigaction(SIGXFSZ, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
}

static void linger(const struct fake_child *child)
{
    copy_well(child);
    channel_writer_flush(child->writer);
    close(child->writer->fd);
    pause();
}

/* Taking the machine down may take its time. */
static void test_nobody_waits_for_the_child(void **state)
{
    (void)state;
    assert_true(run_job(linger, NULL, 0));
    assert_file_content("output", RUN_CONTENT);
    /* This process goes on here: end the child that still waits. */
    pid_t child = waitpid(-1, NULL, WNOHANG);
    assert_int_equal(child, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_enter, run_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_crash),
        TEST(test_a_kill),
        TEST(test_an_exit),
        TEST(test_the_time_limit),
        TEST(test_the_time_limit_of_a_talker),
        TEST(test_an_interruption),
        TEST(test_an_ignored_signal_stays_ignored),
        TEST(test_the_child_ignores_what_its_parent_decides),
        TEST(test_the_child_has_no_other_descriptors),
        TEST(test_signals_are_as_before),
        /* Last, and without waiting: its child ends with this process. */
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_the_child, run_enter, directory_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
