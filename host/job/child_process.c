/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/job/grant.h"

static void standard_streams_leave(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0) {
        dup2(null_fd, STDIN_FILENO);
        dup2(null_fd, STDOUT_FILENO);
        close(null_fd);
    }
}

/* Closes all descriptors from 3 up except these: whatever else was open is none of the child's business. */
static void descriptors_keep(const int *fds, unsigned int count)
{
    int next = 3;
    for (;;) { /* each round passes one of `fds`, the last one none */
        int kept = INT_MAX;
        for (unsigned int i = 0; i < count; i++) {
            kept = fds[i] >= next && fds[i] < kept ? fds[i] : kept;
        }
        if (kept > next) {
            close_range((unsigned int)next, (unsigned int)kept - 1, 0);
        }
        if (kept == INT_MAX) {
            return;
        }
        next = kept + 1;
    }
}

static void NO_RETURN child_main(pid_t parent, const struct job *job, const struct child_ties *ties,
                                 struct jail_report *report)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* the parent ended before the line above */
    }
    standard_streams_leave();
    int kept[CHILD_IMAGE_MAX + 3] = {ties->event_fd, ties->grant_fd, ties->listener_fd};
    for (unsigned int i = 0; i < ties->image_count; i++) {
        kept[3 + i] = ties->images[i].fd;
    }
    descriptors_keep(kept, 3 + ties->image_count);
    if (!jail_report_watch(report)) {
        _exit(1);
    }
    child_run(job, ties);
}

static void pair_close(const int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
        }
    }
}

bool child_process_start(struct child_process *ret_child, const struct job *job, const struct child_start *start,
                         struct error *error)
{
    int events[2];
    int grants[2] = {-1, -1};
    if (pipe2(events, O_CLOEXEC) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot create a pipe: %s", strerror(errno));
    }
    if (job->late_device_count > 0 && !grant_sockets_make(grants, error)) {
        pair_close(events);
        return false;
    }
    struct jail_report *report = jail_report_make(error);
    if (report == NULL) {
        pair_close(events);
        pair_close(grants);
        return false;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        struct child_ties ties = {
            .engine = start->engine,
            .images = start->images,
            .image_count = start->image_count,
            .event_fd = events[1],
            .grant_fd = grants[1],
            .listener_fd = start->listener_fd,
        };
        signals_ignore_in_child(start->signals);
        child_main(parent, job, &ties, report);
    }
    if (pid < 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot start a process: %s", strerror(errno));
        pair_close(events);
        pair_close(grants);
        jail_report_free(report);
        return false;
    }
    close(events[1]);
    if (grants[1] >= 0) {
        close(grants[1]);
    }
    *ret_child = (struct child_process){.pid = pid, .event_fd = events[0], .grant_fd = grants[0], .report = report};
    return true;
}

static void ties_cut(struct child_process *child)
{
    close(child->event_fd);
    if (child->grant_fd >= 0) {
        close(child->grant_fd);
    }
    jail_report_free(child->report);
}

/* Waits for the end of the child, once. Returns its wait status, or -1. */
static int child_reap(struct child_process *child)
{
    int status;
    pid_t reaped;
    do {
        reaped = waitpid(child->pid, &status, 0);
    } while (reaped < 0 && errno == EINTR); /* ends: no handler is installed that could keep interrupting */
    child->pid = -1;
    return reaped < 0 ? -1 : status;
}

bool child_process_describe_end(struct child_process *child, struct error *error)
{
    int status = child_reap(child);
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        return error_set(error, ERROR_LIMIT, NULL, "the job exceeded its limit of processor time");
    }
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        return jail_report_describe(child->report, error);
    }
    if (status >= 0 && WIFSIGNALED(status)) {
        return error_set(error, ERROR_HOST, NULL, "the machine's process was killed by signal %d (%s)",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    if (status >= 0 && WIFEXITED(status)) {
        return error_set(error, ERROR_HOST, NULL, "the machine's process exited with %d before the job was done",
                         WEXITSTATUS(status));
    }
    return error_set(error, ERROR_HOST, NULL, "the machine's process is gone");
}

void child_process_kill(struct child_process *child)
{
    ties_cut(child);
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        child_reap(child);
    }
}

void child_process_leave(struct child_process *child)
{
    ties_cut(child);
    if (waitpid(child->pid, NULL, WNOHANG) == child->pid) {
        child->pid = -1;
    }
}
