/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child_remains.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How long the child may take to end, which has been killed. Not for ever: one that waits for a server that is gone
 * stays until the kernel lets it go. Long beside the end of the largest machine.
 */
#define CHILD_END_MS 2000

/*
 * How long a guest's process may outlive the child, whose end ends it. Not for ever: the child may have named somebody
 * else.
 */
#define GUEST_END_MS 1000

int child_remains_reap(struct child_remains *remains, uint64_t *ret_processor_s)
{
    int status;
    struct rusage usage = {0};
    pid_t reaped;
    struct pollfd end = {.fd = remains->pidfd, .events = POLLIN};
    int options = poll(&end, 1, CHILD_END_MS) == 0 ? WNOHANG : 0;
    do {
        reaped = wait4(remains->pid, &status, options, &usage);
    } while (reaped < 0 && errno == EINTR); /* ends: no handler is installed that could keep interrupting */
    remains->pid = 0;
    close(remains->pidfd);
    *ret_processor_s = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
    return reaped <= 0 ? -1 : status;
}

/* Ours now, and on its way out. One that is not our child was not the child's either, whatever that has said. */
static void guest_reap(struct child_remains *remains)
{
    if (waitpid(remains->guest_pid, NULL, WNOHANG) == 0) {
        struct pollfd end = {.fd = pidfd_open(remains->guest_pid, 0), .events = POLLIN};
        if (end.fd >= 0) {
            poll(&end, 1, GUEST_END_MS);
            close(end.fd);
        }
        waitpid(remains->guest_pid, NULL, WNOHANG);
    }
    remains->guest_pid = 0;
}

/*
 * Of a child that has ended, all that it has left to us: its guest's process, or the one that was to become it. They
 * are on their way out. Whoever waits for another child of this process's by its number has done so by now.
 */
static void untold_reap(void)
{
    for (unsigned int i = 0; i < GUEST_END_MS; i++) {
        pid_t reaped = waitpid(-1, NULL, WNOHANG);
        if (reaped < 0) {
            break; /* none is left */
        }
        if (reaped == 0) {
            poll(NULL, 0, 1);
        }
    }
}

/* A signal that ends this process waits as well: it would leave them. */
void child_remains_wait(struct child_remains *remains)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    if (remains->pid > 0) {
        uint64_t ignored;
        child_remains_reap(remains, &ignored);
    }
    if (remains->guest_pid > 0) {
        guest_reap(remains);
    }
    if (remains->may_have_untold) {
        untold_reap();
        remains->may_have_untold = false;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}
