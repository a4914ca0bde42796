/* SPDX-License-Identifier: Apache-2.0 */
/* The task that opens files: what it does is seen here, and one that waits is left. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/job/files/open_task.h"

struct work {
    struct error error;
    int fd;
    int pipe_fds[2];
};

static struct work work;

static int enter(void **state)
{
    (void)state;
    memset(&work, 0, sizeof(work));
    assert_int_equal(pipe(work.pipe_fds), 0);
    return 0;
}

static int leave(void **state)
{
    (void)state;
    close(work.pipe_fds[0]);
    close(work.pipe_fds[1]);
    return 0;
}

static bool open_something(void *context)
{
    struct work *own = context;
    own->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return own->fd >= 0;
}

static bool open_in_vain(void *context)
{
    struct work *own = context;
    return error_set(&own->error, ERROR_IO, "image", "cannot open: %s", strerror(ENOENT));
}

/* Waits until somebody writes, which nobody does. */
static bool read_in_vain(void *context)
{
    struct work *own = context;
    char byte;
    return read(own->pipe_fds[0], &byte, 1) == 1;
}

static bool end_itself(void *context)
{
    (void)context;
    kill(getpid(), SIGKILL);
    return true;
}

static void task_wait(const struct open_task *task)
{
    struct pollfd end = {.fd = task->pidfd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 60000), 1);
}

static void test_what_it_opens_is_open(void **state)
{
    (void)state;
    struct open_task task = {.work = open_something, .context = &work};
    assert_true(open_task_start(&task, &work.error));
    task_wait(&task);
    assert_true(open_task_end(&task));
    assert_int_equal(fcntl(work.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(close(work.fd), 0);
    assert_int_equal(fcntl(task.pidfd, F_GETFD), -1);
    assert_int_equal(waitpid(-1, NULL, 0), -1);
}

static void test_its_error_is_the_callers(void **state)
{
    (void)state;
    struct open_task task = {.work = open_in_vain, .context = &work};
    assert_true(open_task_start(&task, &work.error));
    task_wait(&task);
    assert_false(open_task_end(&task));
    assert_int_equal(work.error.kind, ERROR_IO);
    assert_string_equal(work.error.place, "image");
}

/* It may have been in the middle of the heap: who has started it says so, touches nothing, and ends. */
static void test_one_that_is_killed(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct open_task task = {.work = end_itself, .context = &work};
        struct pollfd end = {.events = POLLIN};
        bool is_started = dup2(fds[1], STDERR_FILENO) == STDERR_FILENO && open_task_start(&task, &work.error);
        end.fd = task.pidfd;
        _exit(is_started && poll(&end, 1, 60000) == 1 && open_task_end(&task) ? 0 : 2);
    }
    close(fds[1]);
    char text[128] = "";
    for (ssize_t len = 0, done = 1; done > 0 && len < (ssize_t)sizeof(text) - 1; len += done) { /* ends: at its end */
        done = read(fds[0], text + len, sizeof(text) - 1 - (size_t)len);
        assert_true(done >= 0);
    }
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(text, ": the process that opens files has ended\n"));
}

static void test_one_that_waits_is_ended(void **state)
{
    (void)state;
    struct open_task task = {.work = read_in_vain, .context = &work};
    assert_true(open_task_start(&task, &work.error));
    open_task_abandon(&task);
    assert_false(task.is_finished);
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
}

/* What it was about to finish is finished: nothing is left half done. */
static void test_one_that_goes_on_may_finish(void **state)
{
    (void)state;
    struct open_task task = {.work = open_something, .context = &work};
    assert_true(open_task_start(&task, &work.error));
    open_task_abandon(&task);
    assert_true(task.is_finished);
    assert_int_equal(close(work.fd), 0);
}

static void test_signals_are_the_parents(void **state)
{
    (void)state;
    sigset_t mask;
    struct open_task task = {.work = read_in_vain, .context = &work};
    assert_true(open_task_start(&task, &work.error));
    assert_int_equal(kill(task.pid, SIGTERM), 0);
    assert_int_equal(write(work.pipe_fds[1], "", 1), 1);
    task_wait(&task);
    assert_true(open_task_end(&task));
    sigprocmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_it_opens_is_open, enter, leave),
        cmocka_unit_test_setup_teardown(test_its_error_is_the_callers, enter, leave),
        cmocka_unit_test_setup_teardown(test_one_that_is_killed, enter, leave),
        cmocka_unit_test_setup_teardown(test_one_that_waits_is_ended, enter, leave),
        cmocka_unit_test_setup_teardown(test_one_that_goes_on_may_finish, enter, leave),
        cmocka_unit_test_setup_teardown(test_signals_are_the_parents, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
