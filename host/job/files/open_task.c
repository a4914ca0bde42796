/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/open_task.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the program's own code, with a few paths in it. */
#define STACK_LEN (256u << 10)
/* How long one may go on that can, and how long its end may take then: long beside an open that waits for nobody. */
#define FINISH_MS 100
#define END_MS 200

static _Alignas(64) unsigned char stack[STACK_LEN];

/*
 * The library's clone by its other name: the thread sanitizer takes the usual one for a fork, and makes what it knows
 * of the program's threads anew, in memory that is the parent's, too.
 */
int __clone(int (*function)(void *), void *stack_end, int flags, void *argument, ...);

/* In the new process, on our memory. It returns, as nothing of the library's that ends a process is its own. */
static int task_run(void *argument)
{
    struct open_task *task = argument;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == task->parent) {
        task->success = task->work(task->context);
        task->is_finished = true;
    }
    return 0;
}

bool open_task_start(struct open_task *task, struct error *error)
{
    sigset_t all;
    sigset_t before;
    task->parent = getpid();
    task->success = false;
    task->is_finished = false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int flags = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_PIDFD | SIGCHLD;
    task->pid = __clone(task_run, stack + STACK_LEN, flags, task, &task->pidfd);
    int saved_errno = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return task->pid > 0 || error_set(error, ERROR_HOST, NULL, "cannot start a process: %s", strerror(saved_errno));
}

static void task_reap(struct open_task *task)
{
    waitpid(task->pid, NULL, 0);
    close(task->pidfd);
}

/*
 * Something has ended the task in the middle of what it did with our memory, the heap perhaps: nothing of it is touched
 * any more, not even to clean up or to print with the library's streams.
 */
static _Noreturn void unfinished_end(void)
{
    static const char text[] = ": the process that opens files has ended\n";
    ssize_t ignored = write(STDERR_FILENO, program_invocation_short_name, strlen(program_invocation_short_name));
    ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(EXIT_FAILURE);
}

bool open_task_end(struct open_task *task)
{
    task_reap(task);
    if (!task->is_finished) {
        unfinished_end();
    }
    return task->success;
}

static bool has_ended(const struct open_task *task, int wait_ms)
{
    struct pollfd end = {.fd = task->pidfd, .events = POLLIN};
    return poll(&end, 1, wait_ms) > 0;
}

static bool is_left; /* a task is, on our descriptors */

void open_task_descriptors_close(void)
{
    if (is_left) {
        close_range(0, ~0u, 0);
    }
}

/* At the exit, when all is printed. */
static void exit_prepare(void)
{
    fflush(NULL);
    open_task_descriptors_close();
}

void open_task_abandon(struct open_task *task)
{
    if (!has_ended(task, FINISH_MS)) {
        kill(task->pid, SIGKILL); /* nobody else reaps our children, so the number is still this process's */
    }
    if (has_ended(task, END_MS)) {
        task_reap(task);
    } else {
        is_left = true;
        atexit(exit_prepare);
    }
}
