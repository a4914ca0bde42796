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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/jail/jail_sanitizer.h"
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
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat status;
        if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) {
            _exit(6);
        }
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

/* Executed anew: neither environment nor arguments of the parent's, nor what its memory held. */
static int memory = 1;

static void check_memory(const struct fake_child *child)
{
    char text[64];
    int environment_fd = open("/proc/self/environ", O_RDONLY);
    int arguments_fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t len = read(arguments_fd, text, sizeof(text));
    if (memory != 1 || len != (ssize_t)sizeof("instar-machine") || memcmp(text, "instar-machine", (size_t)len) != 0) {
        _exit(5);
    }
    /* A sanitizer's options may pass. */
    char variable[5];
    if (read(environment_fd, variable, sizeof(variable)) > 0 && memcmp(variable, "ASAN_", 5) != 0 &&
        memcmp(variable, "UBSAN", 5) != 0 && memcmp(variable, "TSAN_", 5) != 0) {
        _exit(6);
    }
    copy_well(child);
}

static void test_the_child_knows_nothing_of_its_parent(void **state)
{
    (void)state;
    memory = 2;
    setenv("SECRET", "of the parent", 1);
    assert_true(run_job(check_memory, NULL, 0));
}

static void close_and_sleep(const struct fake_child *child)
{
    send_init(child->writer);
    channel_writer_flush(child->writer);
    close(child->writer->fd);
    never_end(child);
}

static void test_a_child_that_hangs_up_and_stays(void **state)
{
    (void)state;
    assert_run_failed(run_job(close_and_sleep, NULL, 0), ERROR_HOST,
                      "the machine's process closed its pipe before the job was done");
}

static void interrupt_when_silent(void *context)
{
    unsigned int *count = context;
    if (++*count == 20) {
        raise(SIGINT);
    }
}

static void test_a_child_that_hangs_up_is_interrupted(void **state)
{
    (void)state;
    unsigned int count = 0;
    struct job_observer observer = {.context = &count, .idle = interrupt_when_silent, .idle_interval_ms = 10};
    assert_run_failed(run_job(close_and_sleep, &observer, 0), ERROR_INTERRUPTED, "interrupted by signal 2 (Interrupt)");
}

static char text_seen[4096];

static void text_note(void *context, const char *text)
{
    (void)context;
    size_t len = strlen(text_seen);
    snprintf(text_seen + len, sizeof(text_seen) - len, "%s|", text);
}

static void write_text(const struct fake_child *child)
{
    static const char text[] = "first\nsecond\n\nlast, without an end";
    if (write(STDERR_FILENO, text, strlen(text)) != (ssize_t)strlen(text)) {
        _exit(5);
    }
    copy_well(child);
}

static void test_the_childs_text_comes_in_lines(void **state)
{
    (void)state;
    struct job_observer observer = {.child_text = text_note};
    text_seen[0] = '\0';
    assert_true(run_job(write_text, &observer, 0));
    assert_string_equal(text_seen, "first|second|last, without an end|");
}

static size_t text_len_seen;
static unsigned int line_count_seen;

static void text_count(void *context, const char *text)
{
    (void)context;
    text_len_seen += strlen(text);
    line_count_seen++;
}

static void write_flood(const struct fake_child *child)
{
    char block[4096];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 1024; i++) {
        if (write(STDERR_FILENO, block, sizeof(block)) != (ssize_t)sizeof(block)) {
            _exit(5);
        }
    }
    copy_well(child);
}

static void test_the_childs_text_has_a_bound(void **state)
{
    (void)state;
    struct job_observer observer = {.child_text = text_count};
    text_len_seen = 0;
    line_count_seen = 0;
    assert_true(run_job(write_flood, &observer, 0));
    assert_true(text_len_seen < 1100000 && line_count_seen > 1);
    assert_true(JAIL_HAS_SANITIZER || text_len_seen < 10000);
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

/* What it does after its last word counts for nothing. */
static void test_a_child_that_stays_is_ended(void **state)
{
    (void)state;
    assert_true(run_job(linger, NULL, 0));
    assert_file_content("output", RUN_CONTENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_enter, run_leave)

int main(int argc, char **argv)
{
    child_enter(argc, argv);
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
        TEST(test_a_child_that_stays_is_ended),
        TEST(test_the_child_knows_nothing_of_its_parent),
        TEST(test_a_child_that_hangs_up_and_stays),
        TEST(test_a_child_that_hangs_up_is_interrupted),
        TEST(test_the_childs_text_comes_in_lines),
        TEST(test_the_childs_text_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
